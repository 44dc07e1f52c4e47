// Light or dark, as the user chose in Cockpit: "light", "dark", or "auto", which follows the browser.

const DARK = "pf-v6-theme-dark";
const KEY = "shell:style";
const preferred = window.matchMedia("(prefers-color-scheme: dark)");

function apply(choice?: string): void {
    const style = choice ?? localStorage.getItem(KEY) ?? "auto";
    const dark = style === "dark" || (style === "auto" && preferred.matches);
    document.documentElement.classList.toggle(DARK, dark);
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
}

/** Follows the choice from now on. */
export function followTheme(): void {
    // Another frame changed the choice: the browser tells by `storage`, Cockpit's shell by an event of its own.
    window.addEventListener("storage", (event) => {
        if (event.key === KEY) apply();
    });
    window.addEventListener("cockpit-style", (event) => {
        if (event instanceof CustomEvent) apply((event.detail as { style?: string } | null)?.style);
    });
    preferred.addEventListener("change", () => apply());
    apply();
}
