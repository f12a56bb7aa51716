// @ts-check
// Elements from names and text. No other module makes elements, and none reads markup:
// the text of others (questions, outcomes, reasons) is text wherever it is shown.

/** @typedef {Record<string, any>} Attributes */

/**
 * An element. `on` has listeners by event, `data` the dataset; what is `null`, `undefined`
 * or `false` is left out, `true` is an empty attribute.
 * @param {string} name
 * @param {Attributes} [attributes]
 * @param {...(Node | string | null | undefined)} children
 * @returns {any}
 */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, /** @type {any} */ (listener));
    } else if (key === "data") {
      Object.assign(element.dataset, value);
    } else if (key === "text") {
      element.textContent = String(value);
    } else {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

/**
 * Sets an element's text if it is another one.
 * @param {Element} element
 * @param {string} text
 */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Sets an attribute if it has another value; `null` takes it away.
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value
 */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * Makes `parent` have these children, in this order; those it has already are moved, not made.
 * @param {Element} parent
 * @param {Node[]} children
 */
export function fill(parent, children) {
  children.forEach((child, at) => {
    if (parent.childNodes[at] !== child) parent.insertBefore(child, parent.childNodes[at] ?? null);
  });
  while (parent.childNodes.length > children.length) parent.lastChild?.remove();
}

/** @param {string} id @returns {any} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}
