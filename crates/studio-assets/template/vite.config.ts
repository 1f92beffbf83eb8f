import react from "@vitejs/plugin-react";
import { defineConfig, loadEnv } from "vite";

export default defineConfig(({ mode }) => {
  const port = Number(loadEnv(mode, process.cwd(), "VITE_").VITE_PORT || 5173);
  return {
    plugins: [react()],
    server: {
      // A browser outside of the sandbox comes to this port, over any address and under the
      // preview's host name. Another port would never be found: better none than that.
      port,
      strictPort: true,
      host: true,
      allowedHosts: true,
    },
    test: { include: ["tests/**/*.test.{ts,tsx}"] },
  };
});
