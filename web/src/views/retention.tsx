// How many snapshots to keep of each period, with a picture of what that leaves.
import { FormGroup, TextInput } from "./patternfly";
import { type Keep, PERIODS, kept } from "../model/backups";
import { duration } from "../model/format";
import { _, counted, filled } from "../model/text";

const names = (): Record<(typeof PERIODS)[number], string> => ({
    last: _("Newest"),
    hourly: _("Hourly"),
    daily: _("Daily"),
    weekly: _("Weekly"),
    monthly: _("Monthly"),
    yearly: _("Yearly"),
});

export function Retention({ keep, onChange }: { keep: Keep; onChange(keep: Keep): void }) {
    const words = names();
    return (
        <fieldset className="bd-stack">
            <legend>{_("Snapshots to keep")}</legend>
            <div className="bd-numbers">
                {PERIODS.map((period) => (
                    <FormGroup key={period} label={words[period]} fieldId={`keep-${period}`}>
                        <TextInput
                            id={`keep-${period}`}
                            type="number"
                            min={0}
                            max={1000}
                            value={keep[period]}
                            onChange={(_event, value) =>
                                onChange({ ...keep, [period]: Math.min(1000, Math.max(0, Math.floor(Number(value) || 0))) })
                            }
                        />
                    </FormGroup>
                ))}
            </div>
            <RetentionPicture keep={keep} />
        </fieldset>
    );
}

/** A line of time from today to the past, with a dot for each snapshot that stays. */
function RetentionPicture({ keep }: { keep: Keep }) {
    const ages = kept(keep);
    const oldest = ages.at(-1) ?? 0;
    const span = Math.log1p(Math.max(365 * 5, oldest));
    const place = (days: number): number => 2 + (96 * Math.log1p(days)) / span;
    const text = filled(_("{snapshots}, the oldest about {age} old"), {
        snapshots: counted("{n} snapshot", "{n} snapshots", ages.length),
        age: duration(Math.max(1, oldest) * 86_400),
    });
    const marks: [number, string][] = [
        [0, _("today")],
        [7, _("a week")],
        [30, _("a month")],
        [365, _("a year")],
    ];
    return (
        <figure className="bd-picture">
            <svg role="img" aria-label={text}>
                <line x1="2%" x2="98%" y1="8" y2="8" />
                {ages.map((age) => (
                    <circle key={age} cx={`${place(age)}%`} cy="8" r="4" />
                ))}
                {marks.map(([days, name]) => (
                    <text key={days} x={`${place(days)}%`} y="30" textAnchor={days === 0 ? "start" : "middle"}>
                        {name}
                    </text>
                ))}
            </svg>
            <figcaption className="bd-quiet">{text}</figcaption>
        </figure>
    );
}
