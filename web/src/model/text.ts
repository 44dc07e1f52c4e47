// Translated text. po/check.mjs finds every call of these functions.

/** The text in the language of the user. */
export const _ = (text: string): string => window.cockpit.gettext(text);

/** The form of the text for this number, with the number in place of `{n}`. */
export const counted = (singular: string, plural: string, n: number): string =>
    filled(window.cockpit.ngettext(singular, plural, n), { n: number(n) });

/** The text with values in place of `{name}`. */
export function filled(text: string, values: Record<string, string>): string {
    return text.replace(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}

/** The user's language in the form of Intl. */
export const language = (): string => (window.cockpit.language || "en").replace("_", "-");

export const number = (n: number): string => new Intl.NumberFormat(language()).format(n);

/** An array of bytes as text for people. Bytes that are no UTF-8 become replacement characters. */
export const bytesText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Cockpit has arrays of bytes (ay) in base64. */
export const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

export const toBase64 = (bytes: Uint8Array): string => {
    let letters = "";
    for (const byte of bytes) letters += String.fromCharCode(byte);
    return btoa(letters);
};
