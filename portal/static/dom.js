// Creates elements. Takes no HTML: text from outside is only ever set as textContent.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} name of the element
 * @param {Record<string, string | number | boolean | null | undefined>} [attributes] false and null are left out
 * @param {...(Node | string)} children
 */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function drawing(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** @param {string} name of one of the page's icons */
export function icon(name) {
  return drawing("svg", { class: "icon", "aria-hidden": "true" }, drawing("use", { href: `#i-${name}` }));
}

/**
 * @param {string} id of a <template>
 * @returns {HTMLElement} a copy of its one element
 */
export function copyOf(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** Set the text of *node* if it differs: setting the same text costs a layout. */
export function setText(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** Show or hide *node*. */
export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/**
 * Make *parent* hold exactly *wanted*, in that order, touching as little as possible.
 * @param {Element} parent @param {Element[]} wanted
 */
export function arrange(parent, wanted) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  // First remove what is not wanted: else what follows would be moved, and moved elements lose the focus.
  const staying = new Set(wanted);
  for (const node of [...parent.children]) if (!staying.has(node)) node.remove();
  let next = parent.firstElementChild;
  for (const node of wanted) {
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true }); // it was moved
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
