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
    if (req.restarts == 0) {
        unset req.http.Miju-File;
        unset req.http.Miju-CDN-Secret;
    }
    # Streams that never end, the same over WebSocket, and the chat over
    # WebSocket and as server-sent events. A token stays where it is: the origin
    # checks it. Name this edge in the origin's
    # --trusted-proxy, or all who chat have its address.
    if (req.url ~ "^[^?]*(\.flv|\.ts|/chat|/chat/events)(\?|$)") {
        return (pipe);
    }
    # With the #token lines only viewers with a token of the origin's may play: it
    # is asked about each once in ten seconds, and nothing of it is in the key of
    # what comes then.
    #token if (req.http.Miju-File) {
    #token     set req.url = req.http.Miju-File;
    #token } elseif (req.url ~ "^/t/[\w.~-]+/[\w-]+/[\w-]+(\.m3u8|/[\w.-]+|/chat/[\w.]+)(\?|$)") {
    #token     set req.http.Miju-File = regsub(req.url, "^/t/[^/]+", "");
    #token     if (req.method == "OPTIONS") {
    #token         set req.url = req.http.Miju-File;
    #token         return (pass);
    #token     }
    #token     if (req.method != "GET" && req.method != "HEAD") {
    #token         return (synth(405));
    #token     }
    #token     set req.url = "/api/check" + regsub(req.url, "^(/t/[^/]+/[^/]+/[^/.?]+).*", "\1");
    #token     if (req.http.Miju-File ~ "^/[^/?]+/[^/?]+/chat/") {
    #token         set req.url = req.url + "/chat/index.json";
    #token     } elseif (req.http.Miju-File ~ "^/[^/?]+/[^/?]+/") {
    #token         set req.url = req.url + "/any.m3u8";
    #token     } else {
    #token         set req.url = req.url + ".m3u8";
    #token     }
    #token     unset req.http.Cookie;
    #token     unset req.http.Authorization;
    #token     return (hash);
    #token } elseif (req.url ~ "^/[^/?]+/[^/?]+(\.m3u8|/)" && req.url !~ "^/t/[^/?]+/[\w-]+/[\w-]+(\?|$)") {
    #token     return (synth(404));
    #token }
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
    # A token may be good from one address only.
    if (req.url ~ "^/api/check/") {
        hash_data(req.http.X-Forwarded-For);
    }
    return (lookup);
}

#token sub vcl_backend_fetch {
#token     if (bereq.http.Miju-File && bereq.url !~ "^/api/check/") {
#token         set bereq.http.Miju-CDN-Secret = "SECRET";
#token     }
#token     unset bereq.http.Miju-File;
#token }

sub vcl_backend_response {
    # What is too old is of no use to anybody.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (bereq.url ~ "^/api/check/" && beresp.status < 500) {
        if (beresp.ttl <= 0s) {
            set beresp.ttl = 1s; # a refusal
        }
        return (deliver);
    }
    if (bereq.url ~ "/chat/[^/]+$") {
        set beresp.do_gzip = true; # once for everybody
    }
    if (beresp.status == 404 && beresp.http.Cache-Control ~ "no-store") {
        # A file that is not there yet. Remembering that it cannot be kept would
        # let all who ask for it later through, one by one.
        set beresp.ttl = 0s;
        return (deliver);
    }
    if (beresp.status == 401 || beresp.status == 403 || beresp.status == 429) {
        # One viewer is refused, by its address or by whom an application knows.
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
    #token if (req.url ~ "^/api/check/" && resp.status == 200) {
    #token     return (restart); # for the file itself
    #token }
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
    unset resp.http.X-Varnish;
    unset resp.http.Via;
}
