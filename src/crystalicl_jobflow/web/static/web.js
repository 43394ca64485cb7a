"use strict";
// What needs a script on the pages of `crystalicl serve`: a dropped CIF, and progress that moves.
(() => {
  document.documentElement.classList.remove("no-script");
  document.getElementById("error")?.focus();

  // a CIF file gives formula and group to the form
  const drop = document.getElementById("drop");
  if (drop) {
    const told = document.getElementById("cif-told");
    const file = document.getElementById("cif-file");
    const form = document.getElementById("ask");
    const most = Number(drop.dataset.most);
    // not form.elements, which is the field of that name
    const field = (name) => form.querySelector(`[name="${name}"]`);
    const take = async (chosen) => {
      if (!chosen) return;
      if (chosen.size > most) {
        told.textContent = `${chosen.name} has ${chosen.size} bytes, more than ${most}.`;
        return;
      }
      told.textContent = `Reading ${chosen.name} …`;
      try {
        const answer = await fetch("/cif", {
          method: "POST", body: await chosen.arrayBuffer(),
          headers: { "Content-Type": "chemical/x-cif", Accept: "application/json" },
        });
        const read = await answer.json();
        if (!answer.ok) {
          told.textContent = `${chosen.name}: ${read.error}`;
          return;
        }
        field("formula").value = read.formula;
        field("space_group").value = String(read.space_group);
        field("elements").value = "";
        field("num_sites").value = "";
        const remarks = read.remarks.length ? ` ${read.remarks.join("; ")}.` : "";
        told.textContent =
          `${chosen.name}: ${read.formula}, group ${read.symbol} (${read.space_group}).${remarks}`;
      } catch {
        told.textContent = `${chosen.name} could not be sent: the server does not answer.`;
      }
    };
    file.addEventListener("change", () => take(file.files[0]));
    for (const kind of ["dragenter", "dragover"]) {
      drop.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.add("over");
      });
    }
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      take(event.dataTransfer.files[0]);
    });
    // a file dropped beside the place would replace the page
    for (const kind of ["dragover", "drop"]) {
      addEventListener(kind, (event) => event.preventDefault());
    }
    form.addEventListener("submit", () => {
      form.querySelector("button").disabled = true;
    });
    addEventListener("pageshow", () => { form.querySelector("button").disabled = false; });
  }

  // the model is being loaded, until it is there
  const loading = document.getElementById("loading");
  if (loading) {
    const ask = async () => {
      try {
        const answer = await fetch("/loading", { headers: { Accept: "application/json" } });
        if (answer.ok && !(await answer.json()).loading) {
          loading.textContent = "The model is loaded.";
          return;
        }
      } catch {
        // the server ended, or the connection is lost: what is asked will tell
      }
      setTimeout(ask, 1000);
    };
    setTimeout(ask, 1000);
  }

  // progress, until there is an answer
  const progress = document.getElementById("progress");
  if (progress) {
    const told = document.getElementById("told");
    const bar = document.getElementById("bar");
    let lost = 0;
    const look = async () => {
      let wait = 700;
      try {
        const answer = await fetch(progress.dataset.state, { headers: { Accept: "application/json" } });
        const state = await answer.json();
        if (!answer.ok) {
          told.textContent = state.error;
          return;
        }
        lost = 0;
        if (state.state === "done") {
          location.reload();
          return;
        }
        if (state.ended) { // perhaps because the server ends: there may be nothing to load
          progress.querySelector("h2").textContent = state.state === "stopped" ? "Stopped" : "No answer";
          bar.remove();
          progress.querySelector("form").remove();
          told.textContent = state.told;
          return;
        }
        bar.max = state.of;
        bar.value = state.written;
        if (told.textContent !== state.told) told.textContent = state.told;
      } catch {
        lost += 1;
        wait = 2000;
        if (lost > 1) {
          told.textContent = "The server does not answer: it was ended, or the connection is lost. Still trying …";
        }
      }
      setTimeout(look, wait);
    };
    setTimeout(look, 400);
  }
})();
