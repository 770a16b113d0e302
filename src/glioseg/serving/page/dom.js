// Elements of the page.

export const at = (id) => document.getElementById(id);

/** An element with its text or children. */
export function element(tag, content = "", attributes = {}) {
  const node = document.createElement(tag);
  node.append(...[content].flat());
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
