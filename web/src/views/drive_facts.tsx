// What is known of a drive, as a list of facts.
import type { ReactNode } from "react";
import type { Drive } from "../model/drives";
import { age, moment } from "../model/format";
import { freeText } from "../model/problems";
import { _, counted, filled } from "../model/text";
import { DescriptionList, DescriptionListDescription, DescriptionListGroup, DescriptionListTerm } from "./patternfly";
import { useNow } from "./store";

export function Facts({ drive }: { drive: Drive }) {
    const now = useNow();
    const others = drive.origins.filter((origin) => origin.origin === "other-machine");
    const facts: [string, ReactNode][] = [];
    if (drive.state === "away" && drive.lastSeen > 0) {
        facts.push([_("Last attached"), <When key="seen" time={drive.lastSeen} now={now} />]);
    }
    facts.push([
        _("Last backup"),
        drive.lastBackup > 0 ? (
            <span key="last">
                <When time={drive.lastBackup} now={now} />
                {drive.overdue && <span className="bd-warning"> {_("overdue")}</span>}
            </span>
        ) : (
            _("none yet")
        ),
    ]);
    if (drive.free > 0 && drive.size > 0) facts.push([_("Space"), <Space key="space" drive={drive} />]);
    if (drive.backups.length > 0) facts.push([_("Backups"), drive.backups.join(", ")]);
    if (drive.nextRun > 0) facts.push([_("Next backup"), moment(drive.nextRun)]);
    const health = healthText(drive, now);
    if (health !== "") facts.push([_("Health"), health]);
    if (drive.nextVerify > 0) facts.push([_("Next verify"), nextVerifyText(drive, now)]);
    if (others.length > 0) {
        const snapshots = others.reduce((sum, origin) => sum + origin.snapshots, 0);
        facts.push([_("Other machines"), counted("{n} snapshot", "{n} snapshots", snapshots)]);
    }
    if (drive.note !== "") facts.push([_("Note"), drive.note]);
    return (
        <DescriptionList isHorizontal isCompact className="bd-facts">
            {facts.map(([term, description]) => (
                <DescriptionListGroup key={term}>
                    <DescriptionListTerm>{term}</DescriptionListTerm>
                    <DescriptionListDescription>{description}</DescriptionListDescription>
                </DescriptionListGroup>
            ))}
        </DescriptionList>
    );
}

export function NewDrive({ drive }: { drive: Drive }) {
    const what = drive.encrypted ? _("It is encrypted.") : drive.filesystem === "" ? _("It is empty.") : "";
    const format = drive.filesystem === "" ? "" : filled(_("It has the format {format}."), { format: drive.filesystem });
    return (
        <p>
            {[what, format].filter((part) => part !== "").join(" ")} {_("butterdock does not touch it until you use it for backups.")}
        </p>
    );
}

/** A time, for people: its age, and the exact time on hover. */
export function When({ time, now }: { time: number; now: number }) {
    return (
        <time dateTime={new Date(time / 1000).toISOString()} title={moment(time)}>
            {age(time, now)}
        </time>
    );
}

function Space({ drive }: { drive: Drive }) {
    const used = Math.max(0, drive.size - drive.free);
    return (
        <>
            {freeText(drive.free, drive.size)}
            <div className="bd-meter" aria-hidden="true">
                <div
                    className={used / drive.size > 0.9 ? "bd-meter-full" : ""}
                    style={{ width: `${(100 * used) / drive.size}%` }}
                />
            </div>
        </>
    );
}

function healthText(drive: Drive, now: number): string {
    const { verified, verify_errors: damaged, device_errors: errors } = drive.health;
    const parts: string[] = [];
    if (verified !== undefined) {
        parts.push(
            damaged
                ? filled(_("verified {age}, with damage"), { age: age(verified, now) })
                : filled(_("verified {age}, no damage"), { age: age(verified, now) }),
        );
    }
    if (errors) parts.push(counted("{n} error of the device", "{n} errors of the device", errors));
    return parts.join(" · ");
}

function nextVerifyText(drive: Drive, now: number): string {
    if (drive.nextVerify > now * 1000) return moment(drive.nextVerify);
    return drive.state === "away" ? _("when the drive is plugged in") : _("as soon as the drive is free");
}
