// The camera: a live image where the browser gives it (https or localhost), else the phone's own camera program.

const byId = (id) => document.getElementById(id);
const [button, dialog, video, shoot, cancel, photo] =
  ["camera", "camera-dialog", "video", "shoot", "cancel", "photo"].map(byId);

/** Call `take` with every photo, and `complain` with a sentence when there is no camera to be had. */
export function useCamera(take, complain) {
  let stream = null;

  async function open() {
    if (!navigator.mediaDevices) {
      photo.click();
      return;
    }
    const wanted = { audio: false, video: { facingMode: "environment", width: { ideal: 1280 } } };
    try {
      stream = await navigator.mediaDevices.getUserMedia(wanted);
    } catch (error) {
      const rejected = error.name === "NotAllowedError";
      complain(rejected ? "The browser does not let this page use the camera." : "No camera was found.");
      return;
    }
    shoot.disabled = true; // until there is a first image
    video.srcObject = stream;
    dialog.showModal();
  }

  function snap() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => take(new File([blob], "photo.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
    dialog.close();
  }

  button.addEventListener("click", open);
  video.addEventListener("loadeddata", () => {
    shoot.disabled = false;
    shoot.focus();
  });
  shoot.addEventListener("click", snap);
  cancel.addEventListener("click", () => dialog.close());
  // Also by the Escape key; the camera's light goes out.
  dialog.addEventListener("close", () => {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  });
  photo.addEventListener("change", () => take(photo.files[0]));
}
