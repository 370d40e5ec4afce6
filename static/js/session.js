// The plot of the live page: accuracy against latency. Its data comes with every push, as JSON in an attribute of the fragment.

const MARKS = {
  original: { symbol: "diamond", tone: "--ink" },
  selected: { symbol: "star", tone: "--accent" },
  accepted: { symbol: "circle", tone: "--ok" },
  rejected: { symbol: "x", tone: "--bad" },
};

function colour(name) {
  // Resolves light-dark() by letting the browser compute a real property.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function trace(point) {
  const mark = MARKS[point.status] ?? { symbol: "circle-open", tone: "--info" };
  const known = point.low !== null && point.high !== null;
  return {
    type: "scatter",
    mode: "markers+text",
    name: point.title,
    x: [point.latency_ms],
    y: [point.metric],
    text: [point.key === "original" ? "original" : point.key],
    textposition: "top center",
    textfont: { color: colour("--ink-soft"), size: 11 },
    marker: { size: point.status === "selected" ? 15 : 11, symbol: mark.symbol, color: colour(mark.tone) },
    error_y: known
      ? { type: "data", symmetric: false, array: [point.high - point.metric], arrayminus: [point.metric - point.low],
          color: colour("--line-strong"), thickness: 1, width: 3 }
      : undefined,
    hovertemplate: `${point.title.replaceAll("<", "&lt;")}<br>%{x:.3g} ms · %{y:.4g}<extra>${point.status}</extra>`,
  };
}

function draw() {
  const data = document.getElementById("plot-data");
  const place = document.getElementById("plot");
  if (!data || !place) return;
  const { points, metric } = JSON.parse(data.dataset.plot);
  place.closest(".card").hidden = points.length === 0;
  if (points.length === 0) return;
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line-strong") };
  const layout = {
    margin: { l: 60, r: 20, t: 16, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), family: "system-ui, sans-serif", size: 12 },
    showlegend: false,
    xaxis: { ...axis, title: { text: "p50 latency (ms), left is faster" }, rangemode: "tozero" },
    yaxis: { ...axis, title: { text: metric } },
    uirevision: "keep",
  };
  Plotly.react(place, points.map(trace), layout, { responsive: true, displaylogo: false, displayModeBar: false });
}

function followLog() {
  const log = document.getElementById("session-log-lines");
  if (log) log.scrollTop = log.scrollHeight;
}

function refresh() {
  draw();
  followLog();
}

document.addEventListener("DOMContentLoaded", refresh);
document.addEventListener("htmx:wsAfterMessage", refresh);
document.addEventListener("themechange", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
