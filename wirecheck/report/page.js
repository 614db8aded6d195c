(() => {
  "use strict";
  const root = document.querySelector(".wirecheck");
  const form = root.querySelector("form.choice");
  const fields = form.querySelector(".fields");
  const entries = [...root.querySelectorAll("[data-o]")].map((element) => ({
    element,
    text: [element.textContent, element.closest("article")?.id ?? ""].join(" ").toLowerCase(),
    outcome: element.dataset.o,
    group: element.dataset.g,
    nodes: element.dataset.n.split(" "),
  }));

  const state = () => ({
    q: form.elements.q.value.trim(),
    outcome: [...form.querySelectorAll("[name=outcome]:checked")].map((box) => box.value),
    group: form.elements.group.value,
    node: form.elements.node.value,
  });

  // The filter is kept in the address, so that a link shows the same as the sender saw.
  const restore = (address) => {
    const kept = new URLSearchParams(address);
    form.elements.q.value = kept.get("q") ?? "";
    const outcomes = (kept.get("outcome") ?? "").split(",");
    for (const box of form.querySelectorAll("[name=outcome]")) {
      box.checked = outcomes.includes(box.value);
    }
    choose(form.elements.group, kept.get("group") ?? "");
    choose(form.elements.node, kept.get("node") ?? "");
  };

  const choose = (select, value) => {
    if (![...select.options].some((option) => option.value === value)) {
      select.add(new Option(value, value));
    }
    select.value = value;
  };

  const remember = () => {
    const wanted = state();
    const kept = new URLSearchParams();
    for (const [name, value] of Object.entries(wanted)) {
      if (value.length) kept.set(name, String(value));
    }
    history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
  };

  const apply = () => {
    const wanted = state();
    const words = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
    const active = Object.values(wanted).some((value) => value.length);
    let shown = 0;
    for (const entry of entries) {
      const fits =
        (!wanted.outcome.length || wanted.outcome.includes(entry.outcome)) &&
        (!wanted.group || wanted.group === entry.group) &&
        (!wanted.node || entry.nodes.includes(wanted.node)) &&
        words.every((word) => entry.text.includes(word));
      entry.element.hidden = !fits;
      shown += fits;
    }
    const visible = (place) => place.querySelector("[data-o]:not([hidden])") !== null;
    for (const table of root.querySelectorAll("table.entries, table.plain")) {
      table.hidden = !visible(table);
    }
    for (const more of root.querySelectorAll("details.more")) {
      more.hidden = !visible(more);
      more.open = active && !more.hidden;
    }
    for (const place of root.querySelectorAll("article.card, section.told")) {
      place.hidden = active && !visible(place);
    }
    for (const row of root.querySelectorAll("[data-nodes]")) {
      row.hidden = Boolean(wanted.node) && !row.dataset.nodes.split(" ").includes(wanted.node);
    }
    form.elements.shown.value = active ? `${shown} of ${entries.length} entries shown` : "";
    root.dataset.filtered = active;
  };

  const arrive = () => {
    const address = location.hash.slice(1);
    if (address === "" || address.includes("=")) {
      restore(address);
      apply();
      return;
    }
    const target = document.getElementById(decodeURIComponent(address));
    if (!target || !root.contains(target)) return;
    if (target.closest("[hidden]")) {
      restore("");
      apply();
    }
    for (let at = target.closest("details"); at; at = at.parentElement.closest("details")) {
      at.open = true;
    }
    target.scrollIntoView();
  };

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...root.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });
  addEventListener("hashchange", arrive);
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      form.elements.q.focus();
    }
  });
  form.addEventListener("input", () => {
    apply();
    remember();
  });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    restore("");
    apply();
    remember();
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  fields.hidden = !entries.length;
  for (const box of form.querySelectorAll("[name=outcome]")) {
    box.disabled = !entries.some((entry) => entry.outcome === box.value);
  }
  root.classList.add("scripted");
  arrive();
})();
