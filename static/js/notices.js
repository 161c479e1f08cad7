// What pages that send answers by themselves say of them: a tick for what is saved, a notice that stays for what is not.
(() => {
  "use strict";

  const SAVED_MS = 1500;
  let savedTimer = 0;

  function tick() {
    const saved = document.getElementById("saved");
    saved.textContent = "✓ saved";
    clearTimeout(savedTimer);
    savedTimer = setTimeout(() => { saved.textContent = ""; }, SAVED_MS);
  }

  function notice(sentence, actions) {
    const box = document.createElement("div");
    box.className = "notice bad";
    box.setAttribute("role", "alert");
    const text = document.createElement("span");
    text.textContent = sentence;
    box.append(text, ...actions);
    document.getElementById("save-error").replaceChildren(box);
  }

  function button(text, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "btn small";
    made.textContent = text;
    made.addEventListener("click", action);
    return made;
  }

  window.tealeaves = Object.assign(window.tealeaves || {}, { notices: { tick, notice, button } });
})();
