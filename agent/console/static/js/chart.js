/* Curves: <figure class="chart" data-chart='{…}'> (the macro `chart` of parts.html) gets a drawing by uPlot above its
   table. Colours come from the style sheet, so that dark mode and paper are drawn anew. A point that has a page opens
   by click, or with the arrow keys and Enter. Where a script does not run, the table is there. */
(() => {
  "use strict";
  const here = document.currentScript;
  const HEIGHT = 260;
  const COLOURS = ["accent", "fair", "good", "bad", "soft"];
  const language = document.documentElement.lang;
  const DIGITS = { percent: { style: "percent", maximumFractionDigits: 1 }, score: { minimumFractionDigits: 2, maximumFractionDigits: 2 }, number: { maximumFractionDigits: 3 } };
  let loaded = null;

  /** uPlot, fetched when the first chart is there. */
  function plotter() {
    loaded ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = here.dataset.plot;
      script.onload = () => resolve(window.uPlot);
      script.onerror = reject;
      document.head.append(script);
    });
    return loaded;
  }

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /** The numbers by column, and for each series which columns are its curve and its band. */
  function columns(spec) {
    const data = [spec.times];
    const places = spec.series.map((one) => {
      const place = { curve: data.push(one.values) - 1, band: null };
      if (one.low && one.high) place.band = [data.push(one.high) - 1, data.push(one.low) - 1];
      return place;
    });
    return { data, places };
  }

  function colourOf(one, i) {
    return one.colour || COLOURS[i % COLOURS.length];
  }

  function series(spec, places, count) {
    const drawn = Array.from({ length: count }, () => ({ show: true, points: { show: false }, width: 0 }));
    drawn[0] = {};
    spec.series.forEach((one, i) => {
      const stroke = style(colourOf(one, i));
      const lonely = one.values.filter((value) => value !== null).length < 40;
      drawn[places[i].curve] = {
        label: one.name,
        stroke,
        width: 2,
        dash: one.dashed ? [6, 5] : undefined,
        points: { show: lonely, size: 6, fill: stroke },
      };
    });
    return drawn;
  }

  function bands(spec, places) {
    return spec.series.flatMap((one, i) => (places[i].band ? [{ series: places[i].band, fill: `${style(colourOf(one, i))}30` }] : []));
  }

  /** The span of the values: what was asked for, else what the numbers and their bands need, with some air. */
  function range(spec) {
    return (_plot, low, high) => {
      if (low === null) return [0, 1];
      const air = (high - low || Math.abs(high) || 1) * 0.08;
      const floor = low >= 0 ? Math.max(0, low - air) : low - air;
      return [spec.least ?? floor, spec.most ?? high + air];
    };
  }

  /** Below the axis stand times of the data, as many as have room, in the words that came with them. */
  function axes(spec, format) {
    const line = { stroke: style("soft"), font: "12px system-ui, sans-serif", ticks: { show: false } };
    const places = (plot) => {
      const step = Math.max(1, Math.ceil((spec.times.length * 72) / (plot.width - 70)));
      return spec.times.filter((_at, i) => i % step === 0);
    };
    const names = (_plot, splits) => splits.map((at) => spec.ticks[spec.times.indexOf(at)]);
    return [
      { ...line, grid: { show: false }, splits: places, values: names },
      { ...line, grid: { stroke: style("line"), width: 1 }, size: 56, values: (_plot, splits) => splits.map(format) },
    ];
  }

  /** What a point says: its time, and each series' figure with its interval. */
  function words(spec, index, format) {
    const lines = spec.series.flatMap((one) => {
      const value = one.values[index];
      if (value === null) return [];
      const span = one.low && one.low[index] !== null ? ` (${format(one.low[index])} – ${format(one.high[index])})` : "";
      return [`${one.name}: ${format(value)}${span}`];
    });
    return [spec.stamps[index], ...lines];
  }

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.box = figure.querySelector(".plot");
      this.spec = JSON.parse(figure.dataset.chart);
      this.index = null;
      const number = new Intl.NumberFormat(language, DIGITS[this.spec.unit]);
      this.format = (value) => number.format(value).replace("-", "\u2212");
      this.opens = this.spec.series.some((one) => one.hrefs);
    }

    draw(Plot) {
      this.plot?.destroy();
      this.box.replaceChildren();
      const { data, places } = columns(this.spec);
      this.places = places;
      this.names();
      this.plot = new Plot(
        {
          width: this.width(),
          height: HEIGHT,
          legend: { show: false },
          // A click near an edge passes for the end of a drag, which uPlot keeps to itself: here nothing is dragged.
          cursor: { y: false, drag: { x: false, y: false, setScale: false, click: () => {} }, points: { size: 9 } },
          scales: { x: { time: true }, y: { range: range(this.spec) } },
          series: series(this.spec, places, data.length),
          bands: bands(this.spec, places),
          axes: axes(this.spec, this.format),
          hooks: { setCursor: [(plot) => this.point(plot.cursor.idx)] },
        },
        data,
        this.box,
      );
      this.tip = document.createElement("div");
      this.tip.className = "tip";
      this.tip.hidden = true;
      this.box.append(this.tip);
      this.plot.over.addEventListener("click", () => this.open());
      this.plot.over.addEventListener("mouseleave", () => this.leave());
    }

    width() {
      const { paddingLeft, paddingRight } = getComputedStyle(this.box);
      return Math.max(200, this.figure.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight));
    }

    /** Names of several series, each with its line; one alone is named by the title. */
    names() {
      if (this.spec.series.length < 2) return;
      const list = document.createElement("ul");
      list.className = "names";
      this.spec.series.forEach((one, i) => {
        const item = document.createElement("li");
        const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
        const dash = one.dashed ? { "stroke-dasharray": "5 4" } : {};
        const look = { d: "M0 4H22", stroke: "currentcolor", "stroke-width": "3", ...dash };
        for (const [name, value] of Object.entries(look)) line.setAttribute(name, value);
        mark.setAttribute("class", `colour-${colourOf(one, i)}`);
        mark.setAttribute("aria-hidden", "true");
        mark.append(line);
        item.append(mark, one.name);
        list.append(item);
      });
      this.box.append(list);
    }

    /** Show what the point at an index says, and keep it as the one that opens. */
    point(index) {
      if (!this.tip || index === null || index === undefined) return;
      this.index = index;
      const [title, ...lines] = words(this.spec, index, this.format);
      const head = document.createElement("b");
      head.textContent = title;
      this.tip.replaceChildren(head, lines.join("\n"));
      this.tip.hidden = false;
      const { left: from, top } = this.plot.over.getBoundingClientRect();
      const box = this.box.getBoundingClientRect();
      const at = from - box.left + this.plot.valToPos(this.spec.times[index], "x");
      const beside = at + 14 + this.tip.offsetWidth > box.width ? at - 14 - this.tip.offsetWidth : at + 14;
      this.tip.style.left = `${Math.max(4, beside)}px`;
      this.tip.style.top = `${top - box.top + 8}px`;
      this.box.classList.toggle("opens", Boolean(this.href(index)));
    }

    leave() {
      if (document.activeElement !== this.box) this.hide();
    }

    hide() {
      this.index = null;
      this.tip.hidden = true;
    }

    /** The page of a point: of the series nearest to the pointer, else of the first that has one. */
    href(index) {
      const { top } = this.plot.cursor;
      const near = this.spec.series.filter((one) => one.hrefs?.[index] && one.values[index] !== null);
      const far = (one) => Math.abs(this.plot.valToPos(one.values[index], "y") - top);
      if (top >= 0) near.sort((a, b) => far(a) - far(b));
      return near[0]?.hrefs[index];
    }

    open() {
      const href = this.index === null ? null : this.href(this.index);
      if (href?.startsWith("/") && !href.startsWith("//")) window.location.assign(href);
    }

    /** The keyboard's way: a group that takes the focus, arrows between points, and what each says read aloud. */
    operate() {
      this.box.tabIndex = 0;
      this.box.setAttribute("role", "slider");
      this.box.setAttribute("aria-description", this.box.dataset.hint);
      this.box.setAttribute("aria-valuemin", "1");
      this.box.setAttribute("aria-valuemax", String(this.spec.times.length));
      this.say(this.spec.times.length - 1);
      this.box.addEventListener("keydown", (event) => this.key(event));
      this.box.addEventListener("focus", () => this.box.matches(":focus-visible") && this.go(this.index ?? this.spec.times.length - 1));
      this.box.addEventListener("blur", () => this.hide());
    }

    say(index) {
      this.box.setAttribute("aria-valuenow", String(index + 1));
      this.box.setAttribute("aria-valuetext", words(this.spec, index, this.format).join(". "));
    }

    go(index) {
      const bounded = Math.min(Math.max(index, 0), this.spec.times.length - 1);
      this.plot.setCursor({ left: this.plot.valToPos(this.spec.times[bounded], "x"), top: -10 }, false);
      this.point(bounded);
      this.say(bounded);
    }

    key(event) {
      const now = this.index ?? this.spec.times.length - 1;
      const steps = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, Home: 0, End: Infinity, PageUp: now + 7, PageDown: now - 7 };
      if (event.key in steps) this.go(steps[event.key]);
      else if (event.key === "Enter") this.open();
      else if (event.key === "Escape") this.hide();
      else return;
      event.preventDefault();
    }
  }

  async function start(root) {
    const undrawn = "figure.chart[data-chart]:not([data-drawn])";
    const figures = [root, ...root.querySelectorAll(undrawn)].filter((element) => element.matches?.(undrawn));
    if (!figures.length) return;
    for (const figure of figures) figure.dataset.drawn = "";
    const Plot = await plotter();
    const charts = figures.map((figure) => new Chart(figure)).filter((chart) => chart.spec.times.length);
    const redraw = () => charts.forEach((chart) => chart.box.isConnected && chart.draw(Plot));
    redraw();
    for (const chart of charts) chart.operate();
    for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", redraw);
    const sizes = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        const chart = charts.find((one) => one.figure === target);
        if (chart.plot.width !== chart.width()) chart.plot.setSize({ width: chart.width(), height: HEIGHT });
      }
    });
    for (const chart of charts) sizes.observe(chart.figure);
  }

  start(document);
  document.addEventListener("htmx:load", (event) => start(event.detail.elt));
})();
