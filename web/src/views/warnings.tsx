// What a user should know although the backups can run.
import { useEffect, useState } from "react";
import { trustClock, warnings } from "../model/backups";
import { allowed } from "../model/permissions";
import { _ } from "../model/text";
import { ActionError } from "./parts";
import { Alert, AlertActionLink } from "./patternfly";
import { useAction, useBus, useSnapshot } from "./store";

const CLOCK = ["clock-ahead", "clock-record-unreadable"];
/** Cards of drives and of backups show these. */
const ELSEWHERE = ["enrolment-unreadable", "nested-left-out"];

export function Warnings() {
    const bus = useBus();
    const snapshot = useSnapshot();
    const action = useAction();
    const [found, setFound] = useState<ReadonlyMap<string, string>>(new Map());
    const [round, setRound] = useState(0);
    // They change with what runs, and are no property: read when a job has ended.
    const last = snapshot.ended.at(-1)?.path;
    useEffect(() => {
        warnings(bus).then(setFound, () => undefined);
    }, [bus, last, round]);
    const confirm = (): void => void action.run(() => trustClock(bus)).then(() => setRound(round + 1));
    return (
        <>
            <ActionError error={action.error} onClose={action.clear} />
            {[...found]
                .filter(([code]) => !ELSEWHERE.includes(code))
                .map(([code, english]) => (
                    <Alert
                        key={code}
                        component="p"
                        variant="warning"
                        isInline
                        data-code={code}
                        title={CLOCK.includes(code) ? _("The clock of this machine may be wrong") : english}
                        {...(CLOCK.includes(code) && allowed(snapshot, "manage") === "yes"
                            ? {
                                  actionLinks: (
                                      <AlertActionLink onClick={confirm} isDisabled={action.busy}>
                                          {_("The clock is right")}
                                      </AlertActionLink>
                                  ),
                              }
                            : {})}
                    >
                        {CLOCK.includes(code) ? _("Until you confirm it, no old snapshot is deleted.") : ""}
                    </Alert>
                ))}
        </>
    );
}
