import './base.css';
import './findings.css';
import './runs.css';
import './snippets.css';
