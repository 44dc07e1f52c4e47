// The snapshots on a line of time, drawn: a slider, so that the keys of a slider move through them. The list below has the details.
import { type KeyboardEvent, type MouseEvent, useEffect, useRef, useState } from "react";
import { moment } from "../model/format";
import type { Snap } from "../model/snapshots";
import { type Mark, lanesOf, marksOf, placesOnLine } from "../model/timeline";
import { _, counted } from "../model/text";

/** How long the keys have to rest until the files of a snapshot are read. */
const REST = 300;
const LANE = 24;

export function Timeline({ snapshots, chosen, onChoose }: { snapshots: readonly Snap[]; chosen: string; onChoose(uuid: string): void }) {
    // The oldest first: time goes to the right.
    const dated = snapshots.filter(({ created }) => created > 0).sort((a, b) => a.created - b.created);
    // What the keys have reached, until they rest.
    const [moving, setMoving] = useState<string>();
    const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
    useEffect(() => () => clearTimeout(timer.current), []);
    if (dated.length < 2) return null;
    const found = dated.findIndex(({ uuid }) => uuid === (moving ?? chosen));
    const at = found < 0 ? dated.length - 1 : found;
    const current = dated[at];
    const places = placesOnLine(dated.map(({ created }) => created));
    const lanes = lanesOf(dated);
    const height = LANE * lanes.length;

    const choose = (uuid: string): void => {
        clearTimeout(timer.current);
        setMoving(undefined);
        onChoose(uuid);
    };
    const move = (event: KeyboardEvent): void => {
        const next = target(event.key, at, dated.length);
        if (next === undefined) return;
        event.preventDefault();
        const snapshot = dated[Math.max(0, Math.min(dated.length - 1, next))];
        if (!snapshot) return;
        setMoving(snapshot.uuid);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => choose(snapshot.uuid), REST);
    };
    const point = (event: MouseEvent<HTMLDivElement>): void => {
        const box = event.currentTarget.getBoundingClientRect();
        const x = (100 * (event.clientX - box.left)) / box.width;
        const lane = Math.min(lanes.length - 1, Math.max(0, Math.floor((event.clientY - box.top) / LANE)));
        const distance = (index: number): number =>
            Math.abs((places[index] ?? 0) - x) + (dated[index]?.backup === lanes[lane] ? 0 : 1000);
        const nearest = dated.map((_one, index) => index).sort((a, b) => distance(a) - distance(b))[0];
        const snapshot = dated[nearest ?? 0];
        if (snapshot) choose(snapshot.uuid);
    };
    return (
        <figure className="bd-picture">
            <div
                role="slider"
                tabIndex={0}
                className="bd-line"
                aria-label={_("Snapshots on a line of time")}
                aria-orientation="horizontal"
                aria-valuemin={1}
                aria-valuemax={dated.length}
                aria-valuenow={at + 1}
                aria-valuetext={current ? `${moment(current.created)} ${current.backup}` : ""}
                data-line={dated.length}
                onKeyDown={move}
                onClick={point}
            >
                <svg aria-hidden="true" style={{ height: `${height + 26}px` }}>
                    {lanes.map((lane, row) => (
                        <line key={lane} x1="1%" x2="99%" y1={center(row)} y2={center(row)} />
                    ))}
                    {dated.map((one, index) => (
                        <Dot key={one.uuid} snapshot={one} place={places[index] ?? 0} y={center(lanes.indexOf(one.backup))} chosen={index === at} />
                    ))}
                    {marksOf(dated.map(({ created }) => created)).map((mark) => (
                        <MarkText key={mark.place} mark={mark} y={height + 18} />
                    ))}
                </svg>
            </div>
            <figcaption className="bd-quiet">
                {counted("{n} snapshot", "{n} snapshots", dated.length)}
                {lanes.length > 1 && ` · ${lanes.filter((lane) => lane !== "").join(", ")}`}
            </figcaption>
        </figure>
    );
}

const center = (row: number): number => row * LANE + LANE / 2;

/** Where a key leads to: the place among the snapshots. */
function target(key: string, at: number, count: number): number | undefined {
    const steps: Record<string, number> = {
        ArrowLeft: at - 1,
        ArrowDown: at - 1,
        ArrowRight: at + 1,
        ArrowUp: at + 1,
        PageDown: at - 10,
        PageUp: at + 10,
        Home: 0,
        End: count - 1,
    };
    return steps[key];
}

/** A held snapshot has a ring around it, one of another machine is hollow. */
function Dot({ snapshot, place, y, chosen }: { snapshot: Snap; place: number; y: number; chosen: boolean }) {
    const name = ["bd-dot", chosen ? "bd-dot-chosen" : "", snapshot.otherMachine ? "bd-dot-other" : ""].filter(Boolean).join(" ");
    const radius = chosen ? 7 : 5;
    return (
        <g>
            {snapshot.held && <circle cx={`${place}%`} cy={y} r={radius + 3} className="bd-dot-held" />}
            <circle cx={`${place}%`} cy={y} r={radius} className={name}>
                <title>{`${moment(snapshot.created)} ${snapshot.backup}`}</title>
            </circle>
        </g>
    );
}

function MarkText({ mark, y }: { mark: Mark; y: number }) {
    const anchor = mark.place < 10 ? "start" : mark.place > 90 ? "end" : "middle";
    return (
        <text x={`${mark.place}%`} y={y} textAnchor={anchor}>
            {mark.text}
        </text>
    );
}
