// What is entered and not yet sent survives a reload: kept in this browser, person by person and item by item,
// until it is sent or the person signs out.
(() => {
  "use strict";

  const STORE = "tealeaves.draft.";
  const user = document.body.dataset.user || "";
  const keyOf = (item) => `${STORE}${user}.${item}`;

  function read(item) {
    try {
      return JSON.parse(localStorage.getItem(keyOf(item)) || "null");
    } catch {
      return null;
    }
  }

  function write(item, draft) {
    try {
      localStorage.setItem(keyOf(item), JSON.stringify(draft));
    } catch {
      // A browser that stores nothing keeps no drafts.
    }
  }

  function forget(item) {
    try {
      localStorage.removeItem(keyOf(item));
    } catch {
      // As above.
    }
  }

  function forgetAll() {
    try {
      for (const key of Object.keys(localStorage)) if (key.startsWith(keyOf(""))) localStorage.removeItem(key);
    } catch {
      // As above.
    }
  }

  document.addEventListener("submit", (event) => {
    if (event.target.matches("form[data-signs-out]")) forgetAll();
  });
  window.tealeaves = Object.assign(window.tealeaves || {}, { drafts: { read, write, forget } });
})();
