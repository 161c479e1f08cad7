// What others said of the last item, in a dialog: fetched when it is asked for. Without a script it is a page.
(() => {
  "use strict";

  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("#last a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const body = document.getElementById("others-body");
    let html = "";
    try {
      const response = await fetch(link.href, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
      html = response.redirected ? "" : await response.text();
    } catch {
      // The sentence below says it.
    }
    const page = new DOMParser().parseFromString(html, "text/html");
    const found = page.querySelector("#others-list, .notice");
    body.replaceChildren(found ? document.importNode(found, true) : "The server cannot be reached; try again.");
    document.getElementById("others").showModal();
  });
})();
