// Where snapshots are on a drawn line of time. Newer ones have more room: they are close together.
import { language } from "./text";

const FIRST = 2;
const LAST = 98;
const DAY = 86_400e6;

/** How old the newest hundredth of the line is drawn as: the line is nearly even in it, and ever closer before. */
const unitOf = (span: number): number => Math.max(span / 50, 1);

/** The places, in percent of the width, of times from the oldest to the newest. */
export function placesOnLine(times: readonly number[]): readonly number[] {
    const newest = times.at(-1) ?? 0;
    const span = newest - (times[0] ?? 0);
    if (span <= 0) return times.map(() => LAST);
    const unit = unitOf(span);
    return times.map((time) => LAST - ((LAST - FIRST) * Math.log1p((newest - time) / unit)) / Math.log1p(span / unit));
}

/** The backups whose snapshots are on the line, each with a line of its own. */
export const lanesOf = (snapshots: readonly { backup: string }[]): readonly string[] =>
    [...new Set(snapshots.map(({ backup }) => backup))].sort((a, b) => a.localeCompare(b));

export interface Mark {
    place: number;
    text: string;
}

/** The dates below the line: of its beginning, its middle, and its end. */
export function marksOf(times: readonly number[]): readonly Mark[] {
    const newest = times.at(-1) ?? 0;
    const span = newest - (times[0] ?? 0);
    const unit = unitOf(span);
    const style: Intl.DateTimeFormatOptions =
        span < 2 * DAY
            ? { hour: "2-digit", minute: "2-digit" }
            : span < 300 * DAY
              ? { day: "numeric", month: "short" }
              : { month: "short", year: "numeric" };
    const format = new Intl.DateTimeFormat(language(), style);
    const marks = [0, 0.5, 1].map((part): Mark => {
        const age = unit * Math.expm1((1 - part) * Math.log1p(span / unit));
        return { place: FIRST + (LAST - FIRST) * part, text: format.format((newest - age) / 1000) };
    });
    // Those of a short time can be the same.
    return marks.filter((mark, at) => mark.text !== marks[at - 1]?.text);
}
