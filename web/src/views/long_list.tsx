// A list of up to tens of thousands of rows: only those near the sight are in the page.
import { type ReactNode, useEffect, useRef, useState } from "react";

/** Rows come and go in groups of this size. */
const GROUP = 50;
/** The height of a row that has not been drawn yet, in pixels. */
const ROW = 34;

/** What assistive technology reads of a row, as not all rows are in the page. */
export interface Position {
    role: "listitem";
    "aria-posinset": number;
    /** -1: there are more than are listed. */
    "aria-setsize": number;
}

export function LongList<Item>(props: {
    items: readonly Item[];
    /** There are more, which are not read yet. */
    more: boolean;
    label: string;
    className: string;
    row(item: Item, position: Position): ReactNode;
}) {
    const { items, more, label, className, row } = props;
    const groups = Array.from({ length: Math.ceil(items.length / GROUP) }, (_group, at) => at * GROUP);
    const position = (at: number): Position => ({ role: "listitem", "aria-posinset": at + 1, "aria-setsize": more ? -1 : items.length });
    return (
        <div role="list" aria-label={label} className={className} data-length={items.length}>
            {groups.map((first) => (
                <Group key={first} first={first === 0} count={Math.min(GROUP, items.length - first)}>
                    {() => items.slice(first, first + GROUP).map((item, at) => row(item, position(first + at)))}
                </Group>
            ))}
        </div>
    );
}

/** Some rows, or a space as high as they are while they are out of sight. */
function Group({ first, count, children }: { first: boolean; count: number; children(): ReactNode }) {
    const place = useRef<HTMLDivElement>(null);
    const height = useRef(0);
    const [near, setNear] = useState(first);
    useEffect(() => {
        const element = place.current;
        if (!element) return undefined;
        const observer = new IntersectionObserver(
            (entries) => {
                const entry = entries.at(-1);
                if (!entry) return;
                if (!entry.isIntersecting) height.current = entry.boundingClientRect.height;
                setNear(entry.isIntersecting);
            },
            { rootMargin: "800px 0px" },
        );
        observer.observe(element);
        return () => observer.disconnect();
    }, []);
    return (
        <div ref={place} role="none" style={near ? {} : { height: `${height.current || count * ROW}px` }}>
            {near && children()}
        </div>
    );
}
