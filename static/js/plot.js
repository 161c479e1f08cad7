// Draws every .plot: a Vega-Lite specification from data-spec-url, in the page's fonts and colours.
//
// Vega comes with the first plot that is seen (data-vega names it). Under the page's policy there is no eval
// (ast: true, so expressions are interpreted) and no inserted style sheet (defaultStyle, actions and tooltip are ours).

const NARROW = 420; // pixels
const views = new WeakMap();
const dark = matchMedia("(prefers-color-scheme: dark)");

function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = { labelColor: colour("--soft"), titleColor: colour("--ink"), labelFontSize: 12, titleFontSize: 12 };
  return {
    background: null,
    font: getComputedStyle(document.body).fontFamily,
    range: { category: [1, 2, 3, 4, 5].map((number) => colour(`--plot-${number}`)) },
    mark: { color: colour("--plot-1") },
    line: { color: colour("--plot-1") },
    point: { color: colour("--plot-1") },
    rule: { color: colour("--ink") },
    text: { color: colour("--soft"), fontSize: 12 },
    view: { stroke: null },
    axis: { ...text, titleFontWeight: 500, gridColor: colour("--line"), domainColor: colour("--edge"), tickColor: colour("--edge") },
    // What a symbol is drawn in where colour says something else: Vega-Lite would take black.
    legend: { ...text, labelColor: colour("--ink"), symbolBaseFillColor: colour("--ink"), symbolBaseStrokeColor: colour("--ink") },
  };
}

function say(plot, sentence) {
  plot.querySelector(".plot-value").textContent = sentence || "\u00a0";
}

// What Vega calls when the pointer is on a mark: its fields in words, in the line below the plot.
function valueTeller(plot) {
  return (handler, event, item, value) => {
    const words = value && typeof value === "object" ? Object.entries(value).map(([name, it]) => `${name} ${it}`).join(" · ") : "";
    say(plot, words);
  };
}

// On a phone legends stand in one column: beside long names of rows a second one would be cut off.
function fit(spec, width) {
  if (width >= NARROW) return spec;
  return JSON.parse(JSON.stringify(spec), (name, it) => (name === "legend" && it?.orient ? { ...it, columns: 1 } : it));
}

async function draw(plot) {
  const canvas = plot.querySelector(".plot-canvas");
  try {
    const [{ vegaEmbed }, response] = await Promise.all([import(plot.dataset.vega), fetch(plot.dataset.specUrl, { headers: { Accept: "application/json" } })]);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const spec = fit(await response.json(), canvas.clientWidth);
    views.get(plot)?.finalize();
    const result = await vegaEmbed(canvas, spec, {
      ast: true,
      actions: false,
      config: theme(),
      defaultStyle: false,
      mode: "vega-lite",
      renderer: "svg",
      tooltip: valueTeller(plot),
    });
    views.set(plot, result);
    plot.dataset.drawn = "yes";
  } catch (error) {
    say(plot, `The plot could not be drawn (${error.message}). Its data can still be saved; reload the page to try again.`);
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    draw(target);
  }
}, { rootMargin: "200px" });

function mount(root) {
  for (const plot of root.querySelectorAll(".plot[data-spec-url]:not([data-mounted])")) {
    plot.dataset.mounted = "yes";
    seen.observe(plot);
  }
}

mount(document);
document.addEventListener("htmx:load", (event) => mount(event.target.parentElement ?? document));
dark.addEventListener("change", () => document.querySelectorAll(".plot[data-drawn]").forEach(draw));
