"use strict";
// One viewer, and so one WebGL context, serves all crystals: browsers allow about sixteen.
// It moves to the crystal under the pointer; the others show their last view as a picture,
// or the initial picture of the page.
(() => {
  document.documentElement.classList.remove("no-script");
  const data = JSON.parse(document.getElementById("data").textContent);
  const stages = [...document.querySelectorAll(".stage")];
  const bonds = document.getElementById("bonds");
  const views = new Map(); // stage -> how it was turned
  const FIELD_OF_VIEW = 20; // degrees, the library's own; half of what is seen is the distance times its tangent
  let viewer = null;
  let host = null;
  let current = null;
  let failed = false;

  function hasWebGL() {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  }

  function createViewer() {
    host = document.createElement("div");
    stages[0].append(host); // the library measures the element it draws into
    try {
      if (hasWebGL()) viewer = $3Dmol.createViewer(host, {
        backgroundAlpha: 0, backgroundColor: "white", orthographic: true, antialias: true,
        disableFog: true, lowerZoomLimit: 5, upperZoomLimit: 2000,
      });
    } catch (error) {
      viewer = null;
    }
    if (!viewer) {
      failed = true;
      host.remove();
      document.getElementById("no-webgl").hidden = false;
      return;
    }
    window.crystalicl = { viewer, current: () => stages.indexOf(current) };
    // turning the wheel scrolls the page, unless the reader has clicked into the crystal
    host.addEventListener("wheel", (event) => {
      if (document.activeElement !== current) event.stopImmediatePropagation();
    }, { capture: true });
  }

  function draw(stage) {
    const scene = data.scenes[Number(stage.dataset.scene)];
    const edge = getComputedStyle(stage).getPropertyValue("--edge").trim();
    viewer.removeAllModels();
    viewer.removeAllShapes();
    const neighbours = scene.e.map(() => []);
    for (const [i, j] of bonds.checked ? scene.b : []) {
      neighbours[i].push(j);
      neighbours[j].push(i);
    }
    const model = viewer.addModel();
    model.addAtoms(scene.e.map((elem, i) => ({
      elem, x: scene.x[i][0], y: scene.x[i][1], z: scene.x[i][2], serial: i,
      bonds: neighbours[i], bondOrder: neighbours[i].map(() => 1),
    })));
    for (const elem of new Set(scene.e)) {
      const color = data.colours[elem];
      const style = { sphere: { radius: data.radii[elem], color } };
      if (bonds.checked) style.stick = { radius: 0.08, color };
      model.setStyle({ elem }, style);
    }
    const point = (i) => ({ x: scene.c[i][0], y: scene.c[i][1], z: scene.c[i][2] });
    for (let i = 0; i < 8; i++) {
      for (const bit of [1, 2, 4]) {
        if (i & bit) continue;
        viewer.addCylinder({ start: point(i), end: point(i | bit), radius: 0.025, color: edge });
      }
    }
  }

  function reset() {
    viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    viewer.zoomTo(); // sets how deep the view reaches
    viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
    const reach = data.scenes[Number(current.dataset.scene)].r;
    viewer.setPerceivedDistance(reach / Math.tan(FIELD_OF_VIEW * Math.PI / 180));
    viewer.render();
  }

  function leave() {
    if (!current) return;
    views.set(current, viewer.getView());
    const picture = current.querySelector("img") || document.createElement("img");
    picture.alt = "";
    picture.src = viewer.pngURI();
    current.append(picture);
    current = null;
  }

  function enter(stage) {
    if (failed || stage === current) return;
    if (!viewer) createViewer();
    if (failed) return;
    leave();
    current = stage;
    stage.append(host);
    viewer.resize();
    draw(stage);
    if (views.has(stage)) viewer.setView(views.get(stage));
    else reset();
    viewer.render();
    stage.classList.add("turned");
    stage.querySelector("img")?.remove();
  }

  function redraw() {
    if (!current) return;
    const view = viewer.getView();
    draw(current);
    viewer.setView(view);
    viewer.render();
  }

  const KEYS = {
    ArrowLeft: () => viewer.rotate(-10, "vy"), ArrowRight: () => viewer.rotate(10, "vy"),
    ArrowUp: () => viewer.rotate(-10, "vx"), ArrowDown: () => viewer.rotate(10, "vx"),
    "+": () => viewer.zoom(1.15), "=": () => viewer.zoom(1.15), "-": () => viewer.zoom(1 / 1.15),
    0: reset,
  };
  for (const stage of stages) {
    // a finger scrolls the page over crystals until it taps one
    stage.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "touch" && !event.buttons) enter(stage);
    });
    stage.addEventListener("click", () => { enter(stage); stage.focus({ preventScroll: true }); });
    stage.addEventListener("focus", () => enter(stage));
    stage.addEventListener("keydown", (event) => {
      if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      enter(stage);
      if (viewer) KEYS[event.key]();
    });
  }
  bonds?.addEventListener("change", () => {
    for (const stage of stages) {
      if (stage !== current && stage.querySelector("img")) {
        stage.querySelector("img").remove();
        stage.classList.remove("turned");
      }
    }
    document.body.classList.toggle("no-bonds", !bonds.checked);
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => { if (current) { viewer.resize(); viewer.render(); } });

  // the list of candidates: a word finds rows, a heading sorts them
  const list = document.getElementById("list");
  if (!list) return; // one crystal alone
  const body = list.tBodies[0];
  const rows = [...body.rows];
  const filter = document.getElementById("filter");
  filter.addEventListener("input", () => {
    const sought = filter.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !sought.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length}`;
  });
  const value = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
  [...list.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of list.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      rows.sort((a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        if (x === "" || y === "") return (x === "") - (y === ""); // empty cells last, always
        const [m, n] = [Number(x), Number(y)];
        return sign * (Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y, "en") : m - n);
      });
      body.append(...rows);
    });
  });
})();
