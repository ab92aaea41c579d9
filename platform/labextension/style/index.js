import './base.css';
import './findings.css';
import './snippets.css';
