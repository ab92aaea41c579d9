"use strict";
(() => {
  const changes = () => [...document.querySelectorAll("[data-change]")];
  const files = () => [...document.querySelectorAll("[data-file]")];
  let current = null;
  const show = (element) => {
    if (!element) return;
    for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (current) current.classList.remove("current");
    current = element;
    current.classList.add("current");
    current.scrollIntoView({ block: "start" });
    current.focus({ preventScroll: true });
  };
  const step = (list, direction) => {
    const after = (one) => Boolean(current.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING);
    const before = (one) => Boolean(current.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_PRECEDING);
    if (!current) return direction > 0 ? list[0] : list.at(-1);
    return direction > 0 ? list.find(after) : list.findLast(before);
  };
  const fold = () => {
    const outputs = [...document.querySelectorAll("details.outputs")];
    const open = outputs.some((one) => !one.open);
    for (const one of outputs) one.open = open;
  };
  const keys = {
    j: () => show(step(changes(), 1)),
    k: () => show(step(changes(), -1)),
    n: () => show(step(files(), 1)),
    p: () => show(step(files(), -1)),
    o: fold,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details.file, details.outputs")) one.open = true;
    for (const one of document.querySelectorAll("[loading]")) one.loading = "eager";
  });
})();
