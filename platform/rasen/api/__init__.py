"""The control API: what JupyterLab, CI and `rasen --server` ask. It files requests and reads; it runs nothing."""
