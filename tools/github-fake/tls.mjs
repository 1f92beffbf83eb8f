// TLS in front of the server at GITHUB_API, with the key and the certificate in the files TLS_KEY
// and TLS_CERT. Says its port on stdout and runs until it is stopped.
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:https";

const { hostname, port } = new URL(process.env.GITHUB_API);
const [key, cert] = [process.env.TLS_KEY, process.env.TLS_CERT].map((file) => readFileSync(file));
const server = createServer({ key, cert }, (asked, answer) => {
  const { method, url: path, headers } = asked;
  const onward = request({ hostname, port, method, path, headers }, (told) => {
    answer.writeHead(told.statusCode, told.headers);
    told.pipe(answer);
  });
  onward.on("error", () => answer.destroy());
  asked.pipe(onward);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
