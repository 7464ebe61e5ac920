# Varnish as an edge in front of a Miju origin: docs/cdn.md explains it. Set
# the origin's address.
vcl 4.1;

import std;

backend origin {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    # A playlist may wait for three target durations.
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}

sub vcl_recv {
    # Streams that never end, the same over WebSocket, and the chat over
    # WebSocket and as server-sent events. Name this edge in the origin's
    # --chat-proxies, or all who chat have its address.
    if (req.url ~ "^[^?]*(\.flv|\.ts|/chat|/chat/events)(\?|$)") {
        return (pipe);
    }
    # The chat for those who read it as files.
    if (req.url ~ "^/[^/?]+/[^/?]+/chat/") {
        set req.url = regsub(req.url, "\?.*", "");
    }
    # Only HLS's directives make one answer differ from another.
    if (req.url ~ "\?") {
        set req.url = regsuball(req.url, "([?&])(?!_HLS_(?:msn|part|skip)=)[^&]*", "\1");
        set req.url = regsuball(req.url, "&&+", "&");
        set req.url = regsub(req.url, "\?&", "?");
        set req.url = regsub(req.url, "[?&]+$", "");
        set req.url = std.querysort(req.url);
    }
    unset req.http.Cookie;
    unset req.http.Authorization;
}

sub vcl_pipe {
    if (req.http.Upgrade) {
        set bereq.http.Upgrade = req.http.Upgrade;
        set bereq.http.Connection = "upgrade";
    } else {
        set bereq.http.Connection = "close";
    }
}

sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_response {
    # What is too old is of no use to anybody.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (bereq.url ~ "/chat/[^/]+$") {
        set beresp.do_gzip = true; # once for everybody
    }
    if (beresp.status == 404 && beresp.http.Cache-Control ~ "no-store") {
        # A file that is not there yet. Remembering that it cannot be kept would
        # let all who ask for it later through, one by one.
        set beresp.ttl = 0s;
        return (deliver);
    }
    if (beresp.status >= 500 || beresp.http.Cache-Control ~ "no-store") {
        # All who wait hear of the failure at once, not one after the other.
        set beresp.ttl = 1s;
        return (deliver);
    }
}

sub vcl_backend_error {
    set beresp.ttl = 1s;
    set beresp.grace = 0s;
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
    unset resp.http.X-Varnish;
    unset resp.http.Via;
}
