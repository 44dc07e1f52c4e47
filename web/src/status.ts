// What Cockpit's menu shows beside the page: problems and overdue backups, also while the page is not open (it is preloaded).
import { type Bus, NAME, type Properties, type Snapshot } from "./model/bus";
import { type Problem, worded } from "./model/problems";
import { counted } from "./model/text";

export interface Status {
    type: "error" | "warning";
    title: string;
}

/** The worst of what is wrong; null if all is well. */
export function statusOf(snapshot: Snapshot): Status | null {
    const backups = Object.values(snapshot.objects).flatMap((object): readonly Properties[] => {
        const backup = object[`${NAME}.Backup`];
        return backup ? [backup] : [];
    });
    const places = Object.values(snapshot.objects).flatMap((object): readonly Properties[] => {
        const place = object[`${NAME}.Destination`] ?? object[`${NAME}.Drive`];
        return place ? [place] : [];
    });
    const problems = [...places, ...backups]
        .flatMap((properties) => (properties.Problems ?? []) as Problem[])
        .map(worded)
        .filter((problem) => problem.severity !== "info");
    const worst = problems.find((problem) => problem.severity === "danger");
    if (worst) return { type: "error", title: worst.title };
    const overdue = backups.filter((backup) => backup.Overdue === true).length;
    if (overdue > 0) return { type: "warning", title: counted("{n} backup is overdue", "{n} backups are overdue", overdue) };
    const warning = problems[0];
    return warning ? { type: "warning", title: warning.title } : null;
}

/** Reports the status to Cockpit's shell, now and after each change. */
export function reportStatus(bus: Bus): void {
    let last = "";
    const report = (): void => {
        if (bus.snapshot().service === "connecting") return;
        const status = statusOf(bus.snapshot());
        const text = JSON.stringify(status);
        if (text === last) return;
        last = text;
        window.cockpit.transport.control("notify", { page_status: status });
    };
    bus.subscribe(report);
    report();
}
