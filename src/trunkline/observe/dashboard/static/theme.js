// Sets the theme before anything is drawn, so that a dark page does not flash white.
"use strict";

(function () {
  const kept = localStorage.getItem("trunkline.theme");
  const dark = kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
