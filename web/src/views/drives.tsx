// All drives: attached ones, new ones, and those that are away.
import { EmptyState, EmptyStateBody, Gallery, Title } from "./patternfly";
import { HddIcon } from "./patternfly";
import { useState } from "react";
import type { Drive } from "../model/drives";
import { drivesOf } from "../model/drives";
import { _ } from "../model/text";
import { DriveCard } from "./drive_card";
import { EnrolDialog } from "./enrol";
import { useSnapshot } from "./store";

export function DrivesView({ user }: { user: number }) {
    const drives = drivesOf(useSnapshot());
    // Not part of a card: it stays, and says so, when its drive is unplugged.
    const [enrolling, setEnrolling] = useState<Drive>();
    const attached = drives.filter((drive) => drive.state !== "away");
    const away = drives.filter((drive) => drive.state === "away");
    return (
        <>
            {attached.length === 0 && (
                <EmptyState headingLevel="h2" icon={HddIcon} titleText={_("No backup drive is attached")} data-empty>
                    <EmptyStateBody>{_("Plug in a drive. It appears here by itself.")}</EmptyStateBody>
                </EmptyState>
            )}
            <Cards drives={attached} user={user} onEnrol={setEnrolling} />
            {away.length > 0 && (
                <>
                    <Title headingLevel="h2" size="lg" className="bd-heading">
                        {_("Away")}
                    </Title>
                    <Cards drives={away} user={user} onEnrol={setEnrolling} />
                </>
            )}
            {enrolling && <EnrolDialog drive={enrolling} onClose={() => setEnrolling(undefined)} />}
        </>
    );
}

function Cards({ drives, user, onEnrol }: { drives: readonly Drive[]; user: number; onEnrol(drive: Drive): void }) {
    return (
        <Gallery hasGutter minWidths={{ default: "100%", md: "24rem" }} maxWidths={{ default: "100%", md: "34rem" }}>
            {drives.map((drive) => (
                <DriveCard key={drive.path} drive={drive} user={user} onEnrol={onEnrol} />
            ))}
        </Gallery>
    );
}
