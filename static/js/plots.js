// All plots of the portal that need a script. An element `.plot` has its numbers as JSON in `data-plot`. Plots are
// redrawn when the theme or the visibility changes.

const FRAGILE_DB = 30; // below this, quantizing the layer affects the output noticeably
const BAR_PX = 22;

function colour(name) {
  // Resolves light-dark() by letting the browser compute a real property.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const shortened = (text, most = 28) => (text.length > most ? `…${text.slice(1 - most)}` : text);
const narrow = () => innerWidth < 700;

function axis(more) {
  return {
    gridcolor: colour("--line"), zerolinecolor: colour("--line-strong"), linecolor: colour("--line-strong"), fixedrange: true,
    automargin: true, ...more,
  };
}

function layout(more) {
  return {
    margin: { l: 60, r: 20, t: 16, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), family: "system-ui, sans-serif", size: 12 },
    hoverlabel: { bgcolor: colour("--surface"), bordercolor: colour("--line-strong"), font: { color: colour("--ink") } },
    showlegend: false,
    ...more,
  };
}

function turns(name, values, tone) {
  return {
    type: "scatter", mode: "lines+markers", name, x: values.map((_, place) => place + 1), y: values,
    line: { color: colour(tone), width: 1 }, marker: { size: 6 }, hovertemplate: `block %{x}: %{y:.3g} ms<extra>${name}</extra>`,
  };
}

function interval(name, estimate, tone) {
  return {
    type: "scatter", mode: "markers", xaxis: "x2", yaxis: "y2", x: [estimate.value], y: [name], showlegend: false,
    marker: { color: colour(tone), size: 9 },
    error_x: { type: "data", symmetric: false, array: [estimate.high - estimate.value],
               arrayminus: [estimate.value - estimate.low], color: colour(tone), thickness: 1.5, width: 5 },
    hovertemplate: `%{x:.3g}× [${estimate.low.toPrecision(3)}, ${estimate.high.toPrecision(3)}]<extra>${name}</extra>`,
  };
}

function blocks({ original_ms, candidate_ms, speedup, control }) {
  const side = narrow() ? { left: [0, 1], right: [0, 1], above: [0.5, 1], below: [0, 0.22] }
                        : { left: [0, 0.58], right: [0.72, 1], above: [0, 1], below: [0, 1] };
  return {
    height: narrow() ? 460 : 290,
    traces: [
      turns("original", original_ms, "--ink"),
      turns("candidate", candidate_ms, "--accent"),
      interval("original<br>against itself", control, "--ink"),
      interval("original<br>over candidate", speedup, "--accent"),
    ],
    layout: layout({
      margin: { l: 52, r: 20, t: 30, b: 48 },
      showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      xaxis: axis({ title: { text: "block" }, domain: side.left, anchor: "y" }),
      yaxis: axis({ title: { text: "median (ms)" }, rangemode: "tozero", domain: side.above, anchor: "x" }),
      xaxis2: axis({ title: { text: "ratio, with its interval" }, domain: side.right, anchor: "y2", rangemode: "tozero" }),
      yaxis2: axis({ domain: side.below, anchor: "x2", type: "category", range: [-0.6, 1.6] }),
      shapes: [{ type: "line", xref: "x2", yref: "y2 domain", x0: 1, x1: 1, y0: 0, y1: 1,
                 line: { color: colour("--line-strong"), dash: "dot", width: 1 } }],
    }),
  };
}

function classes({ labels, change_points, examples }) {
  return {
    height: 70 + labels.length * BAR_PX,
    traces: [{
      type: "bar", orientation: "h", y: labels.map(escaped), x: change_points, customdata: examples,
      marker: { color: change_points.map((points) => colour(points < 0 ? "--bad" : "--ok")) },
      hovertemplate: "%{y}: %{x:+.2f} points<extra>%{customdata} examples</extra>",
    }],
    layout: layout({
      margin: { l: 20, r: 20, t: 8, b: 44 },
      bargap: 0.35,
      xaxis: axis({ title: { text: "change of the recall (points)" }, zerolinewidth: 1 }),
      yaxis: axis({ type: "category", autorange: "reversed", tickvals: labels.map(escaped), ticktext: labels.map((label) => escaped(shortened(label))) }),
    }),
  };
}

// Share and sensitivity each get a panel if they were measured.
function layers({ names, operators, share, share_of, sqnr_db }) {
  const places = names.map((_, place) => place);
  const about = names.map((name, place) => `${escaped(name)} · ${escaped(operators[place])}`);
  const gap = narrow() ? 0.06 : 0.03;
  const panels = [
    {
      values: share.map((part) => (part === null ? null : part * 100)), colours: colour("--accent"), unit: `% of the ${share_of}`,
      title: narrow() ? `${share_of === "time" ? "time" : "MACs"} (%)` : `share of the ${share_of} (%)`,
    },
    {
      values: sqnr_db, colours: sqnr_db.map((db) => colour(db !== null && db < FRAGILE_DB ? "--bad" : "--info")), unit: "dB",
      title: narrow() ? "SQNR (dB)" : "SQNR when only this layer has 8 bits (dB)",
    },
  ].filter(({ values }) => values.some((value) => value !== null));
  const domains = panels.length === 1 ? [[0, 1]] : [[0, 0.5 - gap], [0.5 + gap, 1]];
  const numbered = (kind, place) => (place ? `${kind}2` : kind);
  return {
    height: 80 + names.length * BAR_PX,
    traces: panels.map(({ values, colours, unit }, place) => ({
      type: "bar", orientation: "h", y: places, x: values, xaxis: numbered("x", place), customdata: about,
      marker: { color: colours }, hovertemplate: `%{customdata}: %{x:.1f} ${unit}<extra></extra>`,
    })),
    layout: layout({
      margin: { l: 20, r: 20, t: 8, b: 44 },
      bargap: 0.35,
      ...Object.fromEntries(panels.map(({ title }, place) => [numbered("xaxis", place), axis({ title: { text: title }, domain: domains[place] })])),
      yaxis: axis({ autorange: "reversed", tickvals: places, showgrid: false, zeroline: false,
                    ticktext: names.map((name) => escaped(shortened(name, narrow() ? 14 : 28))),
                    tickfont: { family: "ui-monospace, monospace", size: 11 } }),
    }),
  };
}

const KINDS = { blocks, classes, layers };

function draw(place) {
  if (!place.checkVisibility()) return;
  const numbers = JSON.parse(place.dataset.plot);
  const plot = KINDS[numbers.kind](numbers);
  if (plot.height) place.style.height = `${plot.height}px`;
  Plotly.react(place, plot.traces, plot.layout, { responsive: true, displaylogo: false, displayModeBar: false });
}

function drawAll() {
  document.querySelectorAll(".plot").forEach(draw);
}

document.addEventListener("DOMContentLoaded", drawAll);
document.addEventListener("themechange", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.addEventListener("toggle", (event) => event.target.querySelectorAll(".plot").forEach(draw), true);
