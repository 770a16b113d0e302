// The response as tables and text.

import { element } from "./dom.js";
import { ROLES } from "./files.js";

const ml = (value) => value.toFixed(value < 10 ? 2 : 1);
const bound = (value) => Number(value.toPrecision(3)); // of an interval: three digits are more than it tells

/** All that the service said, apart from the maps. */
export function describe(response) {
  return [
    volumes(response),
    ...confidenceBadge(response),
    ...warnings(response.warnings ?? []),
    element("dl", facts(response).flatMap(([term, fact]) => [element("dt", term), element("dd", fact)])),
  ];
}

function volumes({ volumes: found, confidence, dice, calibrated_on: basis }) {
  const note = basis === "synthetic" ? " (synthetic)" : "";
  // The level is the same for every region that can be judged; none where it is not known.
  const level = Object.values(found).find((volume) => volume.level != null)?.level;
  const interval = level == null ? [] : [`${Math.round(100 * level)} % interval${note}`];
  const head = ["Region", "ml", ...interval, ...(confidence ? [`Expected Dice${note}`] : []), ...(dice ? ["Dice"] : [])];
  const rows = Object.entries(found).map(([region, volume]) => [
    element("th", region, { scope: "row" }),
    ...(volume.ml == null
      ? [element("td", volume.reason, { colspan: 1 + interval.length })]
      : [ml(volume.ml), ...interval.map(() => `${bound(volume.low_ml)} – ${bound(volume.high_ml)}`)].map((text) => element("td", text))),
    ...(confidence ? [element("td", confidence[region] == null ? "–" : confidence[region].toFixed(2))] : []),
    ...(dice ? [element("td", dice[region] == null ? "–" : dice[region].toFixed(3))] : []),
  ]);
  return element("table", [
    element("caption", "Volumes"),
    element("thead", element("tr", head.map((text) => element("th", text, { scope: "col" })))),
    element("tbody", rows.map((row) => element("tr", row))),
  ]);
}

/** A badge that says in words whether confidence is low, and why. */
function confidenceBadge({ confidence, low_confidence_reasons: reasons }) {
  if (!confidence && !reasons?.length) return [];
  if (!reasons.length) return [element("p", "✓ No sign of low confidence", { class: "badge" })];
  return [
    element("p", "▲ Low confidence", { class: "badge low" }),
    element("ul", reasons.map((reason) => element("li", reason)), { class: "warnings" }),
  ];
}

function warnings(found) {
  if (!found.length) return [];
  const items = found.map(({ field, message }) => element("li", [element("strong", `${ROLES[field] ?? field ?? "Case"}: `), message]));
  return [element("h3", "Warnings: the prediction may be worse"), element("ul", items, { class: "warnings" })];
}

function facts({ entropy, missing, grade_lgg: lgg, survival_days: days, model, version, seconds }) {
  const bits = Object.entries(entropy ?? {}).filter(([, value]) => value != null).map(([name, value]) => {
    const region = name.replace(/_?mean_bits$/, "");
    return [`Mean entropy, ${region || "brain"}`, `${value.toFixed(3)} bits`];
  });
  return [
    ...bits,
    ...(missing?.length ? [["Missing", missing.map((role) => ROLES[role]).join(", ")]] : []),
    ...(lgg == null ? [] : [["Low-grade glioma", `${Math.round(100 * lgg)} %`]]),
    ...(days == null ? [] : [["Survival, predicted", `${Math.round(days)} days`]]),
    ["Model", `${model}, version ${version}`],
    ["Time", `${seconds.toFixed(1)} s`],
  ];
}
