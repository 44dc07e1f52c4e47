// Sizes, durations and times as people read them. Times of the service are in microseconds since 1970.
import { _, counted, filled, language } from "./text";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** A size in the units that are printed on drives: 1 kB is 1000 bytes. */
export function size(bytes: number): string {
    let unit = 0;
    let value = bytes;
    while (value >= 999.5 && unit < UNITS.length - 1) {
        value /= 1000;
        unit += 1;
    }
    const digits = unit === 0 || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
    const text = new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);
    return `${text} ${UNITS[unit]}`;
}

export const rate = (bytes: number): string => filled(_("{size}/s"), { size: size(bytes) });

/** A duration in one unit, rounded up. */
export function duration(seconds: number): string {
    if (seconds < 60) return counted("{n} second", "{n} seconds", Math.max(1, Math.ceil(seconds)));
    if (seconds < 5400) return counted("{n} minute", "{n} minutes", Math.ceil(seconds / 60));
    if (seconds < 129_600) return counted("{n} hour", "{n} hours", Math.ceil(seconds / 3600));
    const days = Math.ceil(seconds / 86_400);
    if (days < 60) return counted("{n} day", "{n} days", days);
    if (days < 700) return counted("{n} month", "{n} months", Math.round(days / 30.44));
    return counted("{n} year", "{n} years", Math.round(days / 365.25));
}

/** How long ago a time was, or how far ahead it is. */
export function age(time: number, now = Date.now()): string {
    const seconds = Math.round(time / 1e6 - now / 1000);
    const words = new Intl.RelativeTimeFormat(language(), { numeric: "auto" });
    const past = Math.abs(seconds);
    if (past < 45) return _("just now");
    if (past < 3600) return words.format(Math.round(seconds / 60), "minute");
    if (past < 86_400) return words.format(Math.round(seconds / 3600), "hour");
    if (past < 30 * 86_400) return words.format(Math.round(seconds / 86_400), "day");
    if (past < 365 * 86_400) return words.format(Math.round(seconds / (30 * 86_400)), "month");
    return words.format(Math.round(seconds / (365 * 86_400)), "year");
}

/** A format is expensive to make, and a long list needs it for each row. */
const formats = new Map<string, Intl.DateTimeFormat>();

function formatted(time: number, style: Intl.DateTimeFormatOptions): string {
    const key = `${language()} ${JSON.stringify(style)}`;
    const format = formats.get(key) ?? new Intl.DateTimeFormat(language(), style);
    formats.set(key, format);
    return format.format(time / 1000);
}

/** A time with date. */
export const moment = (time: number): string => formatted(time, { dateStyle: "medium", timeStyle: "short" });

export const day = (time: number): string => formatted(time, { dateStyle: "full" });

export const clock = (time: number): string => formatted(time, { timeStyle: "short" });
