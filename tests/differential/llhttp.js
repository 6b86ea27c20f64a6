// What llhttp, as nodejs brings it, makes of a connection's bytes: the same lines in and out as ours.cpp. Its own
// parser object is used, not a server, so that nothing of Node's HTTP layer stands between. No leniency is asked for.
'use strict';
process.removeAllListeners('warning');
process.on('warning', () => {});
const {HTTPParser, methods, allMethods} = process.binding('http_parser');
const names = allMethods || methods;

function seen(bytes) {
  const requests = [];
  let fields = [], target = '', upgrade = false;
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {}, 65536, HTTPParser.kLenientNone | 0);
  parser[HTTPParser.kOnMessageBegin | 0] = () => { fields = []; target = ''; };
  // Called with what has come so far when there are more fields than fit, and for trailers.
  parser[HTTPParser.kOnHeaders | 0] = (some, part) => { fields = fields.concat(some); target += part; };
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, some, method, part, status, reason, upgrades) => {
    const all = fields.concat(some || []);
    const pairs = [];
    for (let i = 0; i < all.length; i += 2) pairs.push([all[i], all[i + 1]]);
    upgrade = upgrades;
    requests.push({method: names[method], target: target + (part || ''), major, minor, fields: pairs, body: '',
                   complete: false});
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = (piece, offset, length) => {
    if (offset !== undefined) piece = piece.subarray(offset, offset + length);
    requests[requests.length - 1].body += piece.toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => { requests[requests.length - 1].complete = true; };
  const result = parser.execute(bytes, 0, bytes.length);
  parser.close();
  if (result instanceof Error) return {requests, end: result.code};
  return {requests, end: upgrade ? 'upgrade' : 'pending'};
}

require('readline').createInterface({input: process.stdin, terminal: false}).on('line', (line) => {
  // Beyond ASCII is escaped: a byte is a code point, whatever the pipe's encoding.
  const text = JSON.stringify(seen(Buffer.from(line, 'hex')))
      .replace(/[\u007f-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
  process.stdout.write(text + '\n');
});
