// The page's only way to make elements. Names, descriptions, categories and messages come from other people: they become
// text nodes or attributes that are not executed, never HTML; the page's Content-Security-Policy holds us to it.

/**
 * Make an element.
 * @param {string} tag - Its name, with classes: "p.note".
 * @param {object} [properties] - Properties; those with a dash, "role" and "for" become attributes.
 * @param {...(Node|string)} children - What it holds; strings become text.
 */
export function make(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.includes("-") || key === "role" || key === "for" || key === "list") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Put other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

/** Make a list of terms; what has no value is left out. */
export function terms(pairs, kind = "dl.facts") {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make(kind, {}, ...known.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))));
}

/** Make a button that copies the text of an element. */
export function copyButton(source, what) {
  const button = make("button.quiet", { type: "button", "aria-label": `Copy the ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await copy(source);
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return button;
}

async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    // Only https and localhost have the clipboard; elsewhere the text is selected, and copied the old way.
    const selection = window.getSelection();
    selection.selectAllChildren(source);
    return document.execCommand("copy");
  }
}
