// The browser's camera: opened, watched for its end, and asked for each new picture.

const WANTED = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

/** Shows the camera in `video` and calls `onPicture(time_s)` for each new picture, `onEnded()` if it is unplugged. */
export class Camera {
  #stream = null;
  #request = 0;

  constructor(video, onPicture, onEnded) {
    this.video = video;
    this.onPicture = onPicture;
    this.onEnded = onEnded;
  }

  /** Open the camera of this id, or any; throws what the browser says against it. */
  async open(deviceId) {
    this.close();
    const video = deviceId ? { ...WANTED, deviceId: { exact: deviceId } } : WANTED;
    this.#stream = await navigator.mediaDevices.getUserMedia({ video });
    const [track] = this.#stream.getVideoTracks();
    track.onended = () => {
      this.close();
      this.onEnded();
    };
    this.deviceId = track.getSettings().deviceId;
    this.video.srcObject = this.#stream;
    await this.video.play();
    this.#wait();
  }

  close() {
    this.video.cancelVideoFrameCallback(this.#request);
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = this.video.srcObject = this.deviceId = null;
  }

  #wait() {
    this.#request = this.video.requestVideoFrameCallback((now, { captureTime }) => {
      this.#wait();
      this.onPicture((captureTime ?? now) / 1000);
    });
  }
}

/** The devices of a kind, "videoinput" or "audioinput", as [id, name] pairs. */
export async function listDevices(kind) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const own = devices.filter((device) => device.kind === kind);
  return own.map((device, place) => [device.deviceId, device.label || `number ${place + 1}`]);
}
