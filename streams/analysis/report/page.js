"use strict";
// Reads the report, fills filters and tiles, and gives each plot the calls that the filters leave. Texts from calls are
// only ever put in as text.
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const words = report.words;
  const root = document.documentElement;

  function fail(error) {
    root.dataset.state = "failed";
    const place = document.getElementById("fault");
    place.hidden = false;
    place.textContent = String((error && error.message) || error);
  }
  window.addEventListener("error", (event) => fail(event.error || event.message));
  window.addEventListener("unhandledrejection", (event) => fail(event.reason));

  // A column holds numbers, or places in its list of values; null: the call has none.
  const length = report.columns.direction.length;
  const fields = Object.keys(report.columns);
  const calls = [];
  for (let place = 0; place < length; place++) {
    const call = {};
    for (const field of fields) {
      const value = report.columns[field][place];
      call[field] = value === null || !(field in report.values) ? value : report.values[field][value];
    }
    calls.push(call);
  }

  const chosen = {};
  const FILTERS = ["direction", "trunk", "queue", "extension", "pbx"];
  const NONE = -1;
  const linked = new URLSearchParams(location.hash.slice(1)); // a link may choose: report.html#queue=sales

  function passes(call) {
    return FILTERS.every((field) => {
      const wanted = chosen[field];
      if (wanted === undefined) return true;
      return wanted === NONE ? call[field] === null : call[field] === report.values[field][wanted];
    });
  }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function addFilter(field) {
    const values = report.values[field];
    if (values.length < 2 && !(values.length === 1 && report.columns[field].includes(null))) return;
    const label = element("label", words[field]);
    const select = document.createElement("select");
    select.name = field;
    const option = (text, value) => {
      const made = element("option", text);
      made.value = value;
      select.append(made);
    };
    option(words.all, "");
    values.forEach((value, place) => option(value, String(place)));
    if (report.columns[field].includes(null)) option("(" + words.none + ")", String(NONE));
    const asked = report.values[field].indexOf(linked.get(field));
    if (asked >= 0) {
      select.value = String(asked);
      chosen[field] = asked;
    }
    select.addEventListener("change", () => {
      chosen[field] = select.value === "" ? undefined : Number(select.value);
      update().catch(fail);
    });
    label.append(select);
    document.getElementById("print").before(label);
  }

  const number = new Intl.NumberFormat(words.locale, { maximumFractionDigits: 0 });

  function seconds(value) {
    if (value === undefined) return "–";
    const whole = Math.round(value);
    if (whole < 60) return `${whole} ${words.seconds_short}`;
    if (whole < 3600) return `${Math.floor(whole / 60)} ${words.minutes_short} ${whole % 60} ${words.seconds_short}`;
    const hours = `${number.format(Math.floor(whole / 3600))} ${words.hours_short}`;
    return whole >= 360000 ? hours : `${hours} ${Math.floor((whole % 3600) / 60)} ${words.minutes_short}`;
  }

  function median(ordered) {
    const middle = (ordered.length - 1) / 2;
    return (ordered[Math.floor(middle)] + ordered[Math.ceil(middle)]) / 2;
  }

  function showTiles(rows) {
    const of = (field, text) => rows.filter((call) => call[field] === text).length;
    const answered = rows.filter((call) => call.answered).length;
    const waits = rows.map((call) => call.wait).filter((value) => value !== null).sort((a, b) => a - b);
    const talks = rows.map((call) => call.talk).filter((value) => value !== null);
    const total = talks.reduce((sum, value) => sum + value, 0);
    const missed = rows.filter((call) => call.settled !== null).length;
    const tiles = [
      [number.format(rows.length), words.calls],
      [rows.length ? `${number.format((100 * answered) / rows.length)} %` : "–", words.answer_rate],
      [seconds(waits.length ? median(waits) : undefined), `${words.time_to_answer}, ${words.median}`],
      [seconds(total), words.talk],
      [number.format(missed), words.unanswered_incoming],
      [number.format(of("settled", words.waiting)), `${words.unanswered_incoming}: ${words.waiting}`],
    ];
    const place = document.getElementById("tiles");
    place.replaceChildren();
    for (const [figure, name] of tiles) {
      const tile = element("div", undefined, "tile");
      tile.append(element("b", figure), element("span", name));
      place.append(tile);
    }
  }

  function showWaiting() {
    const rows = report.waiting.filter((row) => passes(row.filters));
    const section = document.getElementById("waiting");
    const head = element("tr");
    const body = section.querySelector("tbody");
    for (const [text, isNumber] of report.waiting_columns) head.append(element("th", text, isNumber ? "number" : ""));
    section.querySelector("thead").replaceChildren(head);
    body.replaceChildren();
    const most = 30;
    for (const row of rows.slice(0, most)) {
      const line = element("tr");
      row.cells.forEach((text, place) => {
        const cell = element("td", text, report.waiting_columns[place][1] ? "number" : "");
        cell.title = text;
        line.append(cell);
      });
      body.append(line);
    }
    const rest = rows.length - most;
    section.querySelector("table").hidden = rows.length === 0;
    document.getElementById("rest").textContent =
      rows.length === 0 ? words.no_such_calls : rest > 0 ? words.more.replace("{count}", number.format(rest)) : "";
  }

  const views = [];

  async function draw() {
    for (const plot of report.plots) {
      const place = document.getElementById(`plot-${plot.name}`);
      const spec = { ...plot.spec, datasets: { calls: [] } };
      const made = await vegaEmbed(place, spec, {
        actions: false, renderer: "svg", ast: true, formatLocale: report.format_locale, logLevel: 1, // errors: an empty plot is hidden, and no fault
      });
      views.push([plot, made.view, place]);
    }
  }

  async function update() {
    const rows = calls.filter(passes);
    showTiles(rows);
    showWaiting();
    for (const [plot, view, place] of views) {
      const some = rows.some((call) => plot.needs.every((field) => call[field] !== null));
      place.hidden = !some;
      place.nextElementSibling.hidden = some;
      view.data("calls", rows);
      await view.runAsync();
    }
    window.dispatchEvent(new Event("resize")); // what was hidden may have missed a change of the window's width
    root.dataset.shown = String(rows.length);
  }

  document.getElementById("print").addEventListener("click", () => window.print());
  FILTERS.forEach(addFilter);
  draw().then(update).then(() => {
    if (root.dataset.state !== "failed") root.dataset.state = "drawn";
  }).catch(fail);
})();
