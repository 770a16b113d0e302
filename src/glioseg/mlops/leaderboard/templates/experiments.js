"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (query, within = document) => within.querySelector(query);
const all = (query, within = document) => [...within.querySelectorAll(query)];

function build(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
const html = (name, attributes = {}, ...children) => build(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

/* Sortable tables: the key is a cell's data-value, or else its text; empty cells come last. */

function sortBy(button) {
  const heading = button.closest("th"), table = heading.closest("table"), body = find("tbody", table);
  const was = heading.getAttribute("aria-sort");
  const order = was ? (was === "ascending" ? "descending" : "ascending") : button.dataset.first || "ascending";
  for (const other of all("[aria-sort]", table)) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1, column = heading.cellIndex;
  body.append(...[...body.rows].sort((one, other) => cellOrder(one.cells[column], other.cells[column], sign)));
  table.dispatchEvent(new Event("sorted"));
}

function cellOrder(one, other, sign) {
  const [first, second] = [one, other].map((cell) => cell.dataset.value ?? cell.textContent);
  if (first === "" || second === "") return (first === "") - (second === "");
  const difference = first - second;
  return sign * (Number.isNaN(difference) ? first.localeCompare(second, "en", { numeric: true }) : difference);
}

const makeSortable = (table) =>
  all("thead button", table).forEach((button) => button.addEventListener("click", () => sortBy(button)));
all("table.sortable").forEach(makeSortable);

/* The metrics of models A and B side by side. */

const columns = ["mean", ...data.regions];
const known = (value) => value !== null;
const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const withMean = (values) => [values.every(known) ? average(values) : null, ...values];

function rowsOf(set, a, b, measure) {
  return set.cases.map((name, index) => {
    const [left, right] = [a, b].map((model) => withMean(model.values[measure][index]));
    const change = left.map((value, k) => (known(value) && known(right[k]) ? right[k] - value : null));
    return { name, left, right, change, pictures: [a.pictures[index], b.pictures[index]] };
  });
}

/* A difference that rounds to zero counts as none. */
function kindOf(change, measure) {
  if (!known(change)) return "";
  const { decimals, better } = data.measures[measure];
  if (Number(change.toFixed(decimals)) === 0) return "same";
  return change * better > 0 ? "better" : "worse";
}

const number = (value, measure) => (known(value) ? value.toFixed(data.measures[measure].decimals) : "–");
const arrow = { better: "▲ ", worse: "▼ ", same: "", "": "" };
function signed(change, measure) {
  if (!known(change)) return "–";
  const size = number(Math.abs(change), measure);
  return kindOf(change, measure) === "same" ? size : (change < 0 ? "−" : "+") + size;
}

/* Percentile bootstrap of the mean over cases (Efron 1979); mulberry32 with a fixed seed gives the same samples each time. */
function interval(values) {
  let state = 1;
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const draw = () => average(values.map(() => values[Math.floor(random() * values.length)]));
  const means = Array.from({ length: 2000 }, draw).sort((one, other) => one - other);
  return [means[50], means[1949]];
}

function plainTable(id, head, lines) {
  const cells = (line) => [html("th", { scope: "row" }, line[0]), ...line.slice(1).map((text) => html("td", {}, String(text)))];
  return html("table", { id },
    html("thead", {}, html("tr", {}, ...head.map((text) => html("th", { scope: "col" }, text)))),
    html("tbody", {}, ...lines.map((line) => html("tr", {}, ...cells(line)))));
}

function summaryTable(rows, measure) {
  const head = ["", "mean of A", "mean of B", "difference", "95 % interval", "better", "worse", "same"];
  const lines = columns.map((column, k) => {
    const pairs = rows.filter((row) => known(row.change[k]));
    if (!pairs.length) return [column, ...head.slice(1).map(() => "–")];
    const change = average(pairs.map((row) => row.change[k]));
    const count = (kind) => pairs.filter((row) => kindOf(row.change[k], measure) === kind).length;
    const ends = interval(pairs.map((row) => row.change[k])).map((end) => signed(end, measure));
    const means = ["left", "right"].map((side) => number(average(pairs.map((row) => row[side][k])), measure));
    return [column, ...means, signed(change, measure), ends.join(" to "), ...["better", "worse", "same"].map(count)];
  });
  return plainTable("summary", head, lines);
}

function casesTable(rows, measure) {
  const heading = (text, first) => html("th", { scope: "col" }, html("button", { type: "button", "data-first": first }, text));
  const cell = (row, k) => {
    const kind = kindOf(row.change[k], measure);
    const value = known(row.change[k]) ? row.change[k] * data.measures[measure].better : "";
    return html("td", { class: kind, "data-value": value }, arrow[kind] + signed(row.change[k], measure),
      html("small", {}, `${number(row.left[k], measure)} → ${number(row.right[k], measure)}`));
  };
  const line = (row, index) => html("tr", { "data-case": index },
    html("th", { scope: "row" }, html("a", { href: `#case-${index}` }, row.name)), ...columns.map((_, k) => cell(row, k)));
  return html("table", { id: "cases" },
    html("thead", {}, html("tr", {}, ...["case", ...columns].map((text) => heading(text, "ascending")))),
    html("tbody", {}, ...rows.map(line)));
}

/* Scatter plot of a region: each dot is a case, with A on the x axis and B on the y axis; the dashed line is equality. */
function pairedPlot(rows, k, measure) {
  const size = 260, [left, top, side] = [44, 28, 196];
  const pairs = rows.map((row, index) => ({ ...row, index })).filter((row) => known(row.change[k]));
  const values = pairs.flatMap((row) => [row.left[k], row.right[k]]);
  const low = Math.min(...values), high = Math.max(...values), pad = (high - low || 0.1) * 0.08;
  const at = (value) => ((value - low + pad) / (high - low + 2 * pad || 1)) * side;
  const [x, y] = [(value) => left + at(value), (value) => top + side - at(value)];
  const ticks = values.length ? [low, (low + high) / 2, high] : [];
  const line = (x1, y1, x2, y2, name) => svg("line", { x1, y1, x2, y2, class: name });
  const text = (content, attributes) => svg("text", { "text-anchor": "middle", ...attributes }, content);
  const dot = (row) => svg("a", { href: `#case-${row.index}`, class: kindOf(row.change[k], measure), tabindex: -1 },
    svg("circle", { cx: x(row.left[k]), cy: y(row.right[k]), r: 5 },
      svg("title", {}, `${row.name}: ${number(row.left[k], measure)} → ${number(row.right[k], measure)}`)));
  return svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `${columns[k]}: each case, A on the x axis and B on the y axis` },
    ...ticks.flatMap((tick) => [
      line(x(tick), top, x(tick), top + side), line(left, y(tick), left + side, y(tick)),
      text(number(tick, measure), { x: x(tick), y: top + side + 15 }),
      text(number(tick, measure), { x: left - 4, y: y(tick) + 4, "text-anchor": "end" })]),
    line(left, top + side, left + side, top, "same-line"),
    text(columns[k], { x: left + side / 2, y: 18, class: "title" }),
    text("A →", { x: left + side, y: size - 6, "text-anchor": "end" }), text("B ↑", { x: left, y: 20 }),
    ...pairs.map(dot));
}

/* Both pictures of a case side by side; the browser decodes them on demand. */
function picture(row, side, models) {
  const letter = "AB"[side], caption = html("figcaption", {}, html("b", {}, letter), ` ${models[side].label}`);
  const hash = row.pictures[side];
  if (!hash) {
    const why = hash === null ? "left out to limit the size of this page" : "no longer in the run";
    return html("figure", {}, html("p", { class: "none" }, `The picture is ${why}.`), caption);
  }
  const image = html("img", { src: data.images[hash], decoding: "async", alt: `${row.name}, model ${letter}: FLAIR, T1ce, truth and prediction in three planes` });
  const button = html("button", { type: "button", "aria-label": `Enlarge ${row.name}, model ${letter}` }, image);
  button.addEventListener("click", () => enlarge(row, side, models));
  return html("figure", {}, button, caption);
}

function caseSection(row, index, models, measure) {
  const scores = columns.map((column, k) => {
    const kind = kindOf(row.change[k], measure);
    return html("span", { class: kind }, `${column} ${arrow[kind]}${signed(row.change[k], measure)}`);
  });
  return html("section", { class: "case", id: `case-${index}` },
    html("header", {}, html("h4", {}, row.name), ...scores),
    html("div", { class: "pair" }, picture(row, 0, models), picture(row, 1, models)));
}

/* One picture in place of the other: A, B or an arrow key switches between them, so that differences are visible. */
function enlarge(row, first, models) {
  const dialog = find("#large"), image = find("img", dialog);
  let shown = first;
  const show = (side) => {
    if (!row.pictures[side]) return;
    shown = side;
    image.src = data.images[row.pictures[side]];
    image.alt = `${row.name}, model ${"AB"[side]}`;
    find("span", dialog).textContent = `${row.name}: ${models[side].label}`;
    all("[data-side]", dialog).forEach((button, k) => button.setAttribute("aria-pressed", k === side));
  };
  all("[data-side]", dialog).forEach((button, side) => { button.onclick = () => show(side); });
  dialog.onkeydown = ({ key }) => {
    if (["ArrowLeft", "ArrowRight"].includes(key)) show(1 - shown);
    if (["a", "b"].includes(key.toLowerCase())) show("ab".indexOf(key.toLowerCase()));
  };
  show(first);
  dialog.showModal();
}

const shortened = (text) => text.replace(/\d+\.\d{6,}/g, (digits) => Number(Number(digits).toPrecision(5)));

function settingsThatDiffer(a, b) {
  const names = [...new Set([...Object.keys(a.params), ...Object.keys(b.params)])].sort();
  const lines = names.filter((name) => a.params[name] !== b.params[name])
    .map((name) => [name, ...[a, b].map((model) => shortened(model.params[name] ?? "not logged"))]);
  const heading = html("h3", {}, "Settings that differ");
  if (!lines.length) return [heading, html("p", {}, names.length ? "None." : "Neither run has logged its settings.")];
  const table = plainTable("settings", ["setting", "A", "B"], lines);
  return [heading, html("div", { class: "wide" }, table)];
}

/* Selection: B is another model of A's test set. */

const setOf = (id) => data.sets.find((set) => set.models.some((model) => model.id === id));
const option = (model, chosen) => {
  const made = html("option", { value: model.id }, model.label);
  made.selected = model.id === chosen;
  return made;
};

function fillChoices(a, b) {
  const groups = data.sets.map((set) =>
    html("optgroup", { label: `${set.cases.length} test cases` }, ...set.models.map((model) => option(model, a))));
  const others = setOf(a).models.filter((model) => model.id !== a);
  find("#a").replaceChildren(...groups);
  find("#b").replaceChildren(...others.map((model) => option(model, b)));
}

function compare() {
  const measure = find("#measure").value, set = setOf(find("#a").value);
  const models = ["#a", "#b"].map((name) => set.models.find((model) => model.id === find(name).value));
  const rows = rowsOf(set, ...models, measure), table = casesTable(rows, measure);
  const wide = (content) => html("div", { class: "wide" }, content);
  const sections = rows.map((row, index) => caseSection(row, index, models, measure));
  const pictures = html("div", { id: "pictures" }, ...sections);
  makeSortable(table);
  table.addEventListener("sorted", () =>
    pictures.append(...all("tbody tr", table).map((line) => sections[line.dataset.case])));
  sortBy(all("thead button", table)[1]);
  find("#comparison").replaceChildren(
    wide(summaryTable(rows, measure)),
    html("p", { class: "dim" }, "The difference is B minus A for each case; ▲ marks cases where B is better, ▼ cases where B is worse. The interval is the 95 % bootstrap interval of the mean difference over these cases. Each dot in a plot is a case; on the dashed line both models are equal."),
    html("div", { class: "plots" }, ...columns.map((_, k) => pairedPlot(rows, k, measure))),
    wide(table),
    ...settingsThatDiffer(...models),
    html("p", { class: "dim" }, "The pictures are in the order of the table. Select one to enlarge it and to switch to the other model's picture. The patient's right (R) is on the left."),
    pictures);
}

if (data.pair) {
  let former = data.pair[0];
  fillChoices(...data.pair);
  find("#a").addEventListener("change", ({ target }) => {
    const b = find("#b").value;
    fillChoices(target.value, target.value === b ? former : b);
    former = target.value;
    compare();
  });
  for (const name of ["#b", "#measure"]) find(name).addEventListener("change", compare);
  compare();
}

/* Studies: Optuna's figures, drawn when a study is opened. */

function drawStudy(study) {
  for (const place of all(".figure:not(.js-plotly-plot)", study)) {
    const { data: traces, layout } = JSON.parse(find("script", place).textContent);
    Plotly.newPlot(place, traces, layout, { responsive: true, displaylogo: false });
  }
}

for (const study of all(".study")) {
  study.addEventListener("toggle", () => study.open && drawStudy(study));
  if (study.open) drawStudy(study);
}
