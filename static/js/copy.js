// Copies what data-copy addresses into the clipboard: text as text, a picture as PNG.
//
// Browsers give the clipboard only to pages on https or localhost. Elsewhere text goes the old way, by a field
// that is selected, and a picture has to be saved.

async function fetched(address) {
  const response = await fetch(address);
  const blob = await response.blob();
  if (!response.ok) throw new Error((await blob.text()).slice(0, 200) || `The server answered ${response.status}.`);
  return blob;
}

async function fetchedText(address) {
  return new Blob([await (await fetched(address)).text()], { type: "text/plain" });
}

// The promise itself goes in: the browser must see the call while the click still counts.
async function copyItem(address, isPicture) {
  const content = isPicture ? fetched(address) : fetchedText(address);
  await navigator.clipboard.write([new ClipboardItem({ [isPicture ? "image/png" : "text/plain"]: content })]);
}

async function copyBySelection(address) {
  const field = document.createElement("textarea");
  field.className = "hidden-visually";
  field.value = await (await fetched(address)).text();
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("This browser allows no copying here; save it instead.");
}

function copy(address, isPicture) {
  if (navigator.clipboard?.write && window.ClipboardItem) return copyItem(address, isPicture);
  if (isPicture) throw new Error("Pictures can be copied only over https; save it instead.");
  return copyBySelection(address);
}

async function clicked(button) {
  const line = document.getElementById("copied");
  const { copy: query, copyName: name } = button.dataset;
  line.classList.remove("wrong");
  line.textContent = "";
  button.setAttribute("aria-busy", "true");
  try {
    await copy(new URL(query, location.href).href, name === "PNG");
    line.textContent = `✓ Copied as ${name}`;
  } catch (error) {
    line.classList.add("wrong");
    line.textContent = `Not copied: ${error.message}`;
  } finally {
    button.removeAttribute("aria-busy");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-copy]");
  if (button) clicked(button);
});
