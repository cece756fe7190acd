// Gives the token once; the answer's cookie is out of reach of scripts.

const form = document.getElementById("login");
const wrong = document.getElementById("wrong");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  wrong.textContent = "";
  try {
    const answer = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: form.elements.token.value }),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    wrong.textContent = (await answer.json()).error;
  } catch {
    wrong.textContent = "The console does not answer.";
  }
  form.elements.token.select();
});
