// What is in the chunk of libraries; build.mjs says why.
export { createElement } from "react";
export { createRoot } from "react-dom/client";
export { jsx } from "react/jsx-runtime";
export * from "./views/patternfly";
