/* facerig_client: speech in, face curves out, from a facerig server. A C interface; C99 and C++11 can include it.
 *
 * Nothing here waits unless it is told how long: a game thread may call all of it every frame. A stream survives its
 * server: when the connection breaks or the server goes away, it connects again (to the next address of `servers`),
 * tells where it stands, sends the last seconds of audio anew and goes on; no frame is missing and none comes twice.
 *
 * A stream may be used from several threads at once, except that facerig_close must be the last call.
 */
#ifndef FACERIG_CLIENT_H
#define FACERIG_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define FACERIG_API __declspec(dllexport)
#else
#define FACERIG_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define FACERIG_TEXT 160

typedef struct facerig_stream facerig_stream;

typedef enum facerig_result {
  FACERIG_OK = 0,
  FACERIG_NOTHING = 1, /* nothing has come yet, or the time is over */
  FACERIG_DONE = 2,    /* the stream has ended well; all frames have been taken */
  FACERIG_FULL = 3,    /* too far ahead of the server: nothing was taken, send again later */
  FACERIG_INVALID = 4, /* an argument that is not accepted, or audio after facerig_end */
  FACERIG_FAILED = 5   /* see facerig_error */
} facerig_result;

typedef enum facerig_encoding { FACERIG_PCM16 = 0, FACERIG_FLOAT32 = 1 } facerig_encoding;

typedef enum facerig_pacing {
  FACERIG_DEFAULT = 0,
  FACERIG_REALTIME = 1, /* a frame comes when it is due */
  FACERIG_BURST = 2,    /* a frame comes as soon as it is computed */
  FACERIG_LEAD = 3      /* up to lead_ms before it is due */
} facerig_pacing;

typedef enum facerig_state {
  FACERIG_BY_VOICE = 0, /* told by the voice: as at the beginning, and after an interrupt */
  FACERIG_SPEAKING = 1,
  FACERIG_LISTENING = 2,
  FACERIG_THINKING = 3,
  FACERIG_IDLE = 4,
  FACERIG_OFF = 5
} facerig_state;

/* Fill with facerig_options_init, then change what you need. Texts are copied by facerig_open. */
typedef struct facerig_options {
  size_t size;         /* set by facerig_options_init: what this program was built with */
  const char *servers; /* "host:port", several parted by commas; IPv6 as "[::1]:52100" */
  const char *api_key; /* or NULL */
  const char *ca_pem;  /* text (not a path) of a PEM file; NULL: no TLS, "": TLS with the system's authorities */
  const char *rig;     /* "arkit", "metahuman", ... */
  const char *style;   /* or NULL */
  uint32_t rate;       /* samples a second of the audio that will be sent */
  uint32_t channels;
  uint32_t fps;
  uint32_t lead_ms;
  uint64_t seed;
  facerig_encoding encoding;
  facerig_pacing pacing;
  double retry_seconds; /* how long a broken stream looks for a server */
  double ahead_seconds; /* how much audio may be ahead of the frames before facerig_send answers FACERIG_FULL */
} facerig_options;

typedef enum facerig_kind {
  FACERIG_FRAME = 0,       /* index, values */
  FACERIG_MARKER = 1,      /* text: its id; index: the first frame after it */
  FACERIG_INTERRUPTED = 2, /* index: the frame at which audio that is sent from now on begins */
  FACERIG_NOTICE = 3       /* text for people */
} facerig_kind;

typedef struct facerig_event {
  facerig_kind kind;
  uint64_t index;
  size_t count; /* values that the frame has */
  char text[FACERIG_TEXT];
} facerig_event;

FACERIG_API void facerig_options_init(facerig_options *options);

/* A stream that begins to connect; NULL where an option is not accepted (`error` then says which). */
FACERIG_API facerig_stream *facerig_open(const facerig_options *options, char *error, size_t error_size);

/* Wait up to so long until the server has answered, so that the channels are known. */
FACERIG_API facerig_result facerig_ready(facerig_stream *stream, int timeout_ms);
FACERIG_API size_t facerig_channel_count(facerig_stream *stream);
/* Valid until facerig_close; NULL where there is no such channel. */
FACERIG_API const char *facerig_channel_name(facerig_stream *stream, size_t channel);

/* Audio, cut anywhere; copied. */
FACERIG_API facerig_result facerig_send(facerig_stream *stream, const void *data, size_t bytes);
/* No more audio (FACERIG_INVALID from here on). Controls are heard until all frames are out (then FACERIG_DONE), and
 * facerig_interrupt drops what is left. */
FACERIG_API facerig_result facerig_end(facerig_stream *stream);

/* Controls take effect where they stand in the audio that was sent before them. */
FACERIG_API facerig_result facerig_emotion(facerig_stream *stream, const char *name, float weight, uint32_t fade_ms);
FACERIG_API facerig_result facerig_gain(facerig_stream *stream, const char *region, float gain, uint32_t fade_ms);
FACERIG_API facerig_result facerig_set_state(facerig_stream *stream, facerig_state state);
/* Degrees: yaw to the face's own left, pitch upwards. */
FACERIG_API facerig_result facerig_look_at(facerig_stream *stream, float yaw, float pitch, uint32_t fade_ms);
/* Hand the eyes back to the face. */
FACERIG_API facerig_result facerig_look_release(facerig_stream *stream, uint32_t fade_ms);
FACERIG_API facerig_result facerig_mark(facerig_stream *stream, const char *id);
/* Barge-in: what was sent and not shown is dropped, controls too, and the voice tells the state again. Audio that is
 * sent after this call belongs to what comes next. FACERIG_INTERRUPTED tells that it has taken effect; a call before that
 * is one with it. After facerig_end the stream ends with the release; FACERIG_DONE: all frames are out, nothing is left
 * to drop. */
FACERIG_API facerig_result facerig_interrupt(facerig_stream *stream, uint32_t release_ms);

/* The next event, waiting up to timeout_ms (0: not at all). A frame's values go to `values`, at most `capacity`. */
FACERIG_API facerig_result facerig_next(facerig_stream *stream, facerig_event *event, float *values, size_t capacity,
                                        int timeout_ms);

FACERIG_API uint32_t facerig_reconnects(facerig_stream *stream);
/* What went wrong, copied; an empty text where nothing did. */
FACERIG_API void facerig_error(facerig_stream *stream, char *text, size_t size);
FACERIG_API void facerig_close(facerig_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
