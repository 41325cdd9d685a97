// The camera: live video where the browser allows it (https or localhost), else the phone's own camera app.

const byId = (id) => document.getElementById(id);
const [button, dialog, video, shoot, cancel, photo] =
  ["camera", "camera-dialog", "video", "shoot", "cancel", "photo"].map(byId);

/** Call `take` with every photo, and `complain` with a sentence if no camera can be used. */
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
    shoot.disabled = true; // until the video runs
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
  // Also for the Escape key. Stopping the tracks switches the camera off.
  dialog.addEventListener("close", () => {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  });
  photo.addEventListener("change", () => take(photo.files[0]));
}
