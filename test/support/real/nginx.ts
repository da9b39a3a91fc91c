import { type Identity, type RealServer, runServer } from './server-process.ts'

/** What is said in nginx's configuration beside the ports and the certificate. */
export interface NginxSetup {
  readonly http2: boolean
  /** In the block `http`. */
  readonly http?: string
  /** In the block `server`. */
  readonly server: string
}

/**
 * nginx ends TLS, and HTTP/2, in front of a resolver that speaks HTTP. It has one port; the others
 * are there for those who ask whether it is up.
 */
export function startNginx(identity: Identity, { http2, http = '', server }: NginxSetup): Promise<RealServer> {
  return runServer(
    {
      tool: 'nginx',
      doh: true,
      files: ({ dir, dnsPort, dotPort, dohPort }) => ({
        'nginx.conf': `
daemon off; master_process off; pid ${dir}/pid; error_log stderr crit; worker_rlimit_nofile 1024;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  ${http}
  server {
    listen 127.0.0.1:${dnsPort}; listen 127.0.0.1:${dotPort}; listen 127.0.0.1:${dohPort} ssl${http2 ? ' http2' : ''};
    ssl_certificate ${dir}/cert.pem; ssl_certificate_key ${dir}/key.pem;
    ${server}
  }
}
`,
      }),
      args: ({ dir }) => ['-p', dir, '-c', `${dir}/nginx.conf`],
    },
    identity,
  )
}
