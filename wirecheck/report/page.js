(() => {
  "use strict";
  const root = document.querySelector(".wirecheck");
  const form = root.querySelector("form.choice");
  const fields = form.querySelector(".fields");
  // Rows of many nodes refer to a list that they share.
  const sets = new Map(
    [...root.querySelectorAll("[data-set]")].map((list) => [list.id, list.dataset.set.split(" ")]),
  );
  const nodesOf = ({ s, n }) => (s === undefined ? n.split(" ") : sets.get(`wc-nodes-${s}`));
  const entries = [...root.querySelectorAll("[data-o]")].map((element) => ({
    element,
    card: element.closest("article"),
    home: element.parentElement,
    outcome: element.dataset.o,
    group: element.dataset.g,
    nodes: nodesOf(element.dataset),
  }));
  // Read on the first search only: there may be thousands of rows.
  const textOf = (entry) =>
    (entry.text ??=
      `${entry.element.textContent} ${entry.card?.id ?? ""} ${entry.nodes.join(" ")}`.toLowerCase());

  const state = () => ({
    q: form.elements.q.value.trim(),
    outcome: [...form.querySelectorAll("[name=outcome]:checked")].map((box) => box.value),
    group: form.elements.group.value,
    node: form.elements.node.value,
    by: form.elements.by.value,
  });

  // The filter is kept in the address, so that a link shows what its sender saw.
  const restore = (address) => {
    const kept = new URLSearchParams(address);
    form.elements.q.value = kept.get("q") ?? "";
    const outcomes = (kept.get("outcome") ?? "").split(",");
    for (const box of form.querySelectorAll("[name=outcome]")) {
      box.checked = outcomes.includes(box.value);
    }
    choose(form.elements.group, kept.get("group") ?? "");
    choose(form.elements.node, kept.get("node") ?? "");
    form.elements.by.value = kept.get("by") ?? "";
    if (form.elements.by.selectedIndex < 0) form.elements.by.value = "";
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

  let grouped = "";
  const made = (name, className, ...children) => {
    const element = document.createElement(name);
    element.className = className;
    element.append(...children);
    return element;
  };

  // Nodes that share findings make one group.
  const named = (nodes) =>
    nodes.length > 3
      ? `${nodes.slice(0, 3).join(", ")} and ${nodes.length - 3} more`
      : nodes.join(", ") || "the cluster";

  // Rows are moved, and moved back, so that filters work the same in both views.
  const regroup = (by) => {
    if (by === grouped) return;
    grouped = by;
    root.querySelector(".regrouped")?.remove();
    const rows = entries.filter((entry) => entry.card);
    for (const { home, element } of rows) home.append(element);
    if (!by) return;
    const groups = new Map();
    for (const entry of rows) {
      const check = entry.card.id.slice(3);
      const key = by === "node" ? entry.nodes.join(" ") : (entry.card.dataset.cause ?? check);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(entry);
      entry.element.rows[0].cells[0].dataset.check = check;
    }
    const section = made("section", "cards regrouped", made("h2", "", `By ${by === "node" ? by : "likely cause"}`));
    for (const [key, some] of [...groups].sort((a, b) => b[1].length - a[1].length)) {
      const count = `${some.length} ${some.length === 1 ? "finding" : "findings"}`;
      const name = by === "node" ? named(some[0].nodes) : key;
      const title = made("h3", "", made("code", "", name), " ", made("small", "", count));
      const table = made("table", "entries", some[0].home.tHead.cloneNode(true));
      table.append(...some.map((entry) => entry.element));
      section.append(made("article", "card", title, table));
    }
    root.querySelector("section.cards").before(section);
  };

  const apply = () => {
    const wanted = state();
    regroup(wanted.by);
    const words = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
    const active = [wanted.q, wanted.outcome, wanted.group, wanted.node].some((value) => value.length);
    let shown = 0;
    for (const entry of entries) {
      const fits =
        (!wanted.outcome.length || wanted.outcome.includes(entry.outcome)) &&
        (!wanted.group || wanted.group === entry.group) &&
        (!wanted.node || entry.nodes.includes(wanted.node)) &&
        words.every((word) => textOf(entry).includes(word));
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
    for (const place of root.querySelectorAll("article.card, section.cards")) {
      place.hidden = Boolean(active || grouped) && !visible(place);
    }
    for (const row of root.querySelectorAll("[data-nodes]")) {
      row.hidden = Boolean(wanted.node) && !row.dataset.nodes.split(" ").includes(wanted.node);
    }
    form.elements.shown.value = active ? `${shown} of ${entries.length} rows shown` : "";
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
    if (form.elements.by.value) {
      form.elements.by.value = "";
      apply();
    }
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
    folded = [...root.querySelectorAll("details:not([open], .ondemand)")];
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
