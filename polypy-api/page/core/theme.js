// @ts-check
// Light or dark: as the system has it, until somebody chooses the other one. Who chooses what the
// system has follows it again.

import { forgetColours } from "../draw/canvas.js";

const KEY = "polypy.theme";

/** @param {() => void} onChange */
export function start(onChange) {
  const chosen = read();
  if (chosen) document.documentElement.dataset.theme = chosen;
  const changed = () => {
    forgetColours();
    onChange();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  return {
    toggle() {
      const theme = isDark() ? "light" : "dark";
      const isSystems = matchMedia("(prefers-color-scheme: dark)").matches === (theme === "dark");
      if (isSystems) delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
      write(isSystems ? null : theme);
      changed();
      return theme;
    },
  };
}

function isDark() {
  return getComputedStyle(document.documentElement).colorScheme === "dark";
}

/** Whether things may move. */
export function moves() {
  return !matchMedia("(prefers-reduced-motion: reduce)").matches;
}

// A browser that keeps nothing for pages throws here.
function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** @param {string | null} theme */
function write(theme) {
  try {
    if (theme === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // It is chosen for this page alone.
  }
}
