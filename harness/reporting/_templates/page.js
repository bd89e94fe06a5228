(() => {
  const d = document, root = d.documentElement, all = s => [...d.querySelectorAll(s)], KEY = "bigfive-theme";
  try { const t = localStorage.getItem(KEY); if (t) root.dataset.theme = t; } catch {}
  addEventListener("DOMContentLoaded", () => {
    const theme = d.getElementById("theme"), first = d.getElementById("first"), box = d.getElementById("filter");
    const trials = all("details.trial");
    all("#theme,.filter,.keys").forEach(e => { e.hidden = false; });
    theme.onclick = () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem(KEY, root.dataset.theme); } catch {}
    };
    const open = () => {
      const e = location.hash.length > 1 && d.getElementById(decodeURIComponent(location.hash.slice(1)));
      for (let p = e; p; p = p.parentElement) if (p.tagName === "DETAILS") p.open = true;
      if (e) e.scrollIntoView({ block: "center" });
    };
    addEventListener("hashchange", open);
    open();
    if (box) box.oninput = () => {
      const words = box.value.toLowerCase().split(/\s+/), fits = e => words.every(w => e.textContent.toLowerCase().includes(w));
      all("table.filters tbody tr").forEach(e => { e.hidden = !fits(e); });
      trials.forEach(e => { e.hidden = !fits(e.firstElementChild); });
      all(".scenario").forEach(e => { e.hidden = !e.querySelector("details.trial:not([hidden])"); });
      box.parentElement.querySelector("output").value = trials.filter(e => !e.hidden).length + " of " + trials.length + " trials";
    };
    const step = by => {
      const seen = trials.filter(e => !e.hidden), at = seen.indexOf(d.activeElement.closest("details.trial"));
      const next = seen[Math.min(Math.max(at + by, 0), seen.length - 1)];
      if (next) { next.firstElementChild.focus(); next.scrollIntoView({ block: "nearest" }); }
    };
    const keys = { t: () => theme.click(), e: () => first && first.click(), "/": () => box && box.focus(), j: () => step(1), k: () => step(-1) };
    addEventListener("keydown", e => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input")) return;
      if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
    });
    addEventListener("beforeprint", () => all("details").forEach(e => { e.open = true; }));
  });
})();
