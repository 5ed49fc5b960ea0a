import { Hono } from "hono";

// The peer wants an API to start with; it is not asked.
export default new Hono();
