// Starts the console: the theme before anything is drawn, then the program. The builder fills in the two addresses.
import init from "SCRIPT";
try {
  const theme = localStorage.getItem("pilothouse-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {}
init({ module_or_path: "PROGRAM" });
