// Fills in the texts, opens the sections, and passes keys on.
import { Films } from "./films.js";
import { icon } from "./icons.js";
import { Live, showAlone } from "./live.js";
import { get } from "./server.js";
import { text } from "./strings.js";
import { Styles } from "./styles.js";

function fillIn() {
  for (const element of document.querySelectorAll("[data-text]")) {
    element.append(text[element.dataset.text]);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text[element.dataset.label]);
  }
  for (const element of document.querySelectorAll("[data-title]")) {
    element.title = text[element.dataset.title];
    element.setAttribute("aria-label", text[element.dataset.title]);
  }
  for (const element of document.querySelectorAll("[data-icon]")) {
    element.prepend(icon(element.dataset.icon));
  }
  const rows = text.keyList.flatMap(([key, what]) => [
    Object.assign(document.createElement("dt"), { textContent: key }),
    Object.assign(document.createElement("dd"), { textContent: what }),
  ]);
  document.getElementById("keys").replaceChildren(...rows);
}

function openTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const open = (chosen) => {
    for (const tab of tabs) {
      const isOpen = tab === chosen;
      tab.setAttribute("aria-selected", String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !isOpen;
    }
  };
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!by) return;
      const next = tabs[(i + by + tabs.length) % tabs.length];
      open(next);
      next.focus();
    });
  }
}

function passKeys(live) {
  const help = document.getElementById("help");
  document.getElementById("help-open").addEventListener("click", () => help.showModal());
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const { target, key } = event;
    if (document.getElementById("live").hidden) return;
    const isTyping = target.matches("input:not([type=radio], [type=range], [type=checkbox]), select, textarea");
    const isPressing = key === " " && target.matches("button, a, [type=checkbox], [type=radio]:not(:checked)");
    if (isTyping || isPressing) return;
    if (key === "h") help.showModal();
    else if (!live.onKey(key)) return;
    event.preventDefault();
  });
}

fillIn();
openTabs();
const about = await get("/about");
if (new URLSearchParams(location.search).get("view") === "clean") {
  document.body.classList.add("clean");
  showAlone(about);
} else {
  const styles = new Styles(about.styles);
  passKeys(new Live(about, styles));
  new Films(about, styles);
  styles.refresh();
}
